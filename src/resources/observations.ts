import type { Observation } from './inspection.ts'

/** All is well; the advice, if any, is optional. */
export function ok(what: string, message: string, advice?: string): Observation {
  return { level: 'ok', what, message, advice }
}

/** It works, and may not under the conditions that the message names. */
export function warning(what: string, message: string, advice: string): Observation {
  return { level: 'warning', what, message, advice }
}

/** Transactions fail or stay stuck, or a crash breaks a promise. */
export function error(what: string, message: string, advice: string): Observation {
  return { level: 'error', what, message, advice }
}

/** Ages and times that people read are wrong by as much; nothing is decided by a database's clock. */
const SKEW_WARNING_MS = 5_000

/** Compares a database's clock with this machine's. The answer was made some time between the question and its arrival. */
export function clockObservation(theirsMs: number, askedMs: number, answeredMs: number): Observation {
  const skewMs = theirsMs > answeredMs ? theirsMs - answeredMs : Math.min(0, theirsMs - askedMs)
  if (Math.abs(skewMs) < SKEW_WARNING_MS) return ok('clock', 'Its clock agrees with this machine’s.')
  const seconds = Math.round(Math.abs(skewMs) / 1_000)
  return warning(
    'clock',
    `Its clock is ${seconds} s ${skewMs > 0 ? 'ahead of' : 'behind'} this machine’s: times in its logs and in ours do not fit.`,
    'Synchronise the clocks of both machines (NTP).',
  )
}
