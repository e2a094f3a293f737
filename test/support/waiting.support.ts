import { setTimeout as pause } from 'node:timers/promises'

/** Waits are long because the machine may be busy; a test that passes never waits so long. */
const PATIENCE_MS = 20_000

/**
 * Looks again and again until `look` finds something.
 *
 * @param what what is waited for, for the error message
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  patienceMs: number = PATIENCE_MS,
): Promise<T> {
  const giveUpMs = performance.now() + patienceMs
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > giveUpMs) throw new Error(`waited ${patienceMs} ms in vain until ${what}`)
    await pause(20)
  }
}

export { pause }
