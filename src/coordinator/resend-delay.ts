import type { Prng } from '../base/index.ts'

/**
 * The wait before the next send of something that was not answered: it doubles from `resendMinMs` to `resendMaxMs`,
 * and each is drawn from its upper half, so that what broke together is not retried together.
 *
 * @param attempt how often it was sent before, from 0
 */
export function resendDelayMs(
  attempt: number,
  prng: Prng,
  limits: { readonly resendMinMs: number; readonly resendMaxMs: number },
): number {
  const fullMs = Math.min(limits.resendMaxMs, limits.resendMinMs * 2 ** Math.min(attempt, 30))
  const halfMs = Math.ceil(fullMs / 2)
  return halfMs + prng.below(Math.floor(fullMs - halfMs) + 1)
}
