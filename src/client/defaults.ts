/** Every default and bound of the client, in one place (DESIGN §10). All in milliseconds. */
export const DEFAULTS = {
  /** A transaction's whole time: its work, its votes, its decision. */
  timeoutMs: 30_000,
  /** Bounds of every timeout: at most a day. */
  timeoutMsMin: 1,
  timeoutMsMax: 86_400_000,
  /** However little of `timeoutMs` is left, a decision that was asked for is waited for this long: an election fits in. */
  decisionTimeoutMs: 5_000,
  /** With services a coordinator may gather votes for all that time, and its answer is waited for so much longer. */
  answerSlackMs: 2_000,
  /** How long a call waits for its branches to roll back or finish; they go on behind its back. */
  settleWaitMs: 5_000,
  /** How long `close()` waits for running transactions before it aborts them, and again for unfinished branches. */
  closeTimeoutMs: 10_000,
  /** The waits between attempts grow from here … */
  backoffMinMs: 50,
  /** … to here. Each is shortened at random by up to a half. */
  backoffMaxMs: 5_000,
  /** One question about an outcome. */
  outcomeTimeoutMs: 10_000,
  /** How exact deadlines are. */
  tickMs: 20,
} as const

/**
 * How long to wait before attempt number `attempt` (from 1): doubling, capped, with jitter so that a crowd spreads out.
 *
 * @param random a number from 0 to below 1
 */
export function backoffMs(attempt: number, random: number): number {
  const full = Math.min(DEFAULTS.backoffMaxMs, DEFAULTS.backoffMinMs * 2 ** Math.min(attempt - 1, 16))
  return full * (1 - random / 2)
}
