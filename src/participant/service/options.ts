/** How an instance behaves. Times are milliseconds. */
export interface KeeperOptions {
  /** Branches that have not ended, at most; beyond it calls are refused with PARTICIPANT_BUSY. */
  readonly openMax: number
  /** Ended branches that are remembered, so that repeats are answered and late calls refused. */
  readonly endedMax: number
  /** `prepare` handlers at work at a time, and as many of `commit` and `abort`. */
  readonly concurrency: number
  /** How often the table is looked through for branches to ask about. */
  readonly scanMs: number
  /** A branch that voted asks after this time in doubt (DESIGN §10), then ever less often, down to every `askMaxMs`. */
  readonly askMs: number
  readonly askMaxMs: number
  /** A branch that was not asked for its vote looks after this time whether its transaction still lives. */
  readonly joinedAskMs: number
  /** How long after its transaction's time a branch without a vote is settled: the commit request may come that late. */
  readonly joinedSlackMs: number
  /** The time of a branch whose ticket was lost with the process. */
  readonly joinedTimeoutMs: number
  /** The coordinators' time for an answer. */
  readonly answerMs: number
  /** First and longest wait before a handler that failed is called again. */
  readonly retryMinMs: number
  readonly retryMaxMs: number
  /** A shared journal is looked through so often, for what other instances left open that long ago. */
  readonly refreshMs: number
  readonly foreignMs: number
  /** How long `close` waits for handlers that are at work. */
  readonly closeMs: number
}

export const KEEPER_DEFAULTS: KeeperOptions = {
  openMax: 10_000,
  endedMax: 50_000,
  concurrency: 32,
  scanMs: 100,
  askMs: 1_000,
  askMaxMs: 5_000,
  joinedAskMs: 5_000,
  joinedSlackMs: 10_000,
  joinedTimeoutMs: 30_000,
  answerMs: 5_000,
  retryMinMs: 50,
  retryMaxMs: 5_000,
  refreshMs: 5_000,
  foreignMs: 10_000,
  closeMs: 10_000,
}
