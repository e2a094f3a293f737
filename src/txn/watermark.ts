import { BUCKET_SPAN_MS } from './outcome-table.ts'
import type { LedgerState } from './state.ts'

/** How much to remember. All times in milliseconds. */
export interface WatermarkPolicy {
  /** The leader's wall clock. */
  readonly nowMs: number
  /** Finished transactions older than this may go. */
  readonly keepMs: number
  /** More than so many finished transactions need not be kept. */
  readonly keepCount: number
  /**
   * The watermark never comes nearer to now than this. A transaction that begins its commit later than this after its
   * txid was made is refused, so it must exceed the longest transaction plus the clocks' differences.
   */
  readonly fenceMs: number
}

/**
 * The watermark that a leader should propose; undefined when it would free nothing and is not worth a record.
 *
 * Always the end of a bucket, so that all that lies before it is really forgotten. At steady load that makes one record
 * every eight seconds.
 */
export function suggestWatermark(state: LedgerState, policy: WatermarkPolicy): number | undefined {
  const fenceMs = policy.nowMs - policy.fenceMs
  const oldMs = policy.nowMs - policy.keepMs
  let excess = state.finished.count - policy.keepCount
  let suggestedMs: number | undefined
  for (const [number, count] of state.finished.countsByBucket()) {
    const endMs = (number + 1) * BUCKET_SPAN_MS
    if (endMs > fenceMs || (endMs > oldMs && excess <= 0)) break
    suggestedMs = endMs
    excess -= count
  }
  return suggestedMs
}
