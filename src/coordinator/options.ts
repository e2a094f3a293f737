/** How a coordinator behaves. Times are milliseconds of its clock. */
export interface CoordinatorOptions {
  /** Requests and vote rounds without a decision, at most; beyond it new ones are refused with OVERLOADED. */
  readonly openMax: number
  /** Decided transactions whose branches have not acknowledged, at most; beyond it new commits are refused with OVERLOADED. */
  readonly undeliveredMax: number
  /** Records joined in one log entry, at most. */
  readonly batchCommandsMax: number
  /** Estimated bytes of one log entry, at most; one larger record still goes alone. */
  readonly batchBytesMax: number
  /** How soon a log that pushed back is tried again (it is also tried whenever it applies something). */
  readonly backPressureRetryMs: number
  /** How soon a log whose disk is full is asked again to take a decision. */
  readonly diskFullRetryMs: number
  /** Requests that the log did not take for this long are refused with OVERLOADED. */
  readonly backPressureMaxMs: number
  /** The longest time for gathering votes that a request may ask for. */
  readonly timeoutMaxMs: number
  /** First and longest wait between two sends of one PREPARE or decision; each wait is drawn from its upper half. */
  readonly resendMinMs: number
  readonly resendMaxMs: number
  /** How long acknowledged transactions may wait to share a `completed` record, and how many share one at most. */
  readonly completedDelayMs: number
  readonly completedBatchMax: number
  /** How often the leader proposes a watermark. */
  readonly watermarkPeriodMs: number
  /** Completed transactions are remembered for this long, and at most this many (DESIGN §10). */
  readonly keepMs: number
  readonly keepCount: number
  /** The watermark stays at least this far behind the clock: a commit may still come for a txid as old as this. */
  readonly fenceMs: number
  /** A commit whose txid was made later than this ahead of the leader's clock is refused with TXN_TOO_NEW. */
  readonly aheadMaxMs: number
  /** The granularity of deadlines and re-sends. */
  readonly tickMs: number
}

/** DESIGN §10. */
export const COORDINATOR_DEFAULTS: CoordinatorOptions = {
  openMax: 100_000,
  undeliveredMax: 1_000_000,
  batchCommandsMax: 1_024,
  batchBytesMax: 256 * 1_024,
  backPressureRetryMs: 2,
  diskFullRetryMs: 250,
  backPressureMaxMs: 1_000,
  timeoutMaxMs: 3_600_000,
  resendMinMs: 50,
  resendMaxMs: 5_000,
  completedDelayMs: 100,
  completedBatchMax: 1_000,
  watermarkPeriodMs: 5_000,
  keepMs: 3_600_000,
  keepCount: 100_000,
  // Twice the default transaction timeout of 30 s.
  fenceMs: 60_000,
  aheadMaxMs: 3_600_000,
  tickMs: 10,
}
