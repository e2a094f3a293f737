import { type Txid, txidTimeMs } from '../base/index.ts'
import type { LedgerState } from './state.ts'
import type { Knowledge, Outcome } from './types.ts'

/** The decision of a transaction that has finished, with what is left of its branches. */
export interface PastDecision {
  readonly outcome: Outcome
  readonly branchDigest: number
}

/** The decision of a finished transaction; undefined when `txid` is open, unknown or forgotten. */
export function pastDecision(state: LedgerState, txid: Txid): PastDecision | undefined {
  // The map of noted ones is nearly always empty; asking its size first spares hashing the txid.
  const noted = state.noted.size === 0 ? undefined : state.noted.get(txid)
  if (noted?.outcome !== undefined) return { outcome: noted.outcome, branchDigest: noted.branchDigest }
  const entry = state.finished.get(txid)
  if (entry === undefined) return undefined
  return { outcome: state.words.unpack(entry.word), branchDigest: entry.branchDigest }
}

/** True when `txid` was made before the watermark: whatever was known of it may be gone. */
export function isBehindWatermark(state: LedgerState, txid: Txid): boolean {
  return state.watermarkMs > 0 && txidTimeMs(txid) < state.watermarkMs
}

/**
 * True when a lost part of the log may hold the decision of `txid`. A transaction that was preparing when the log broke
 * off counts as well, however old it is.
 */
export function isGuarded(state: LedgerState, txid: Txid): boolean {
  const { guard } = state
  if (guard === undefined) return false
  const madeMs = txidTimeMs(txid)
  if (madeMs >= guard.beforeMs) return false
  const open = state.open.get(txid)
  if (open !== undefined) return open.outcome === undefined
  // Behind the watermark of that time everything was aborted, or committed and acknowledged: nothing of it got lost.
  return madeMs >= guard.fromMs && pastDecision(state, txid) === undefined
}

/** What an INQUIRE is answered from. It reads only: `unknown` must become an `aborted` record before anyone hears "aborted" (P5). */
export function knowledgeOf(state: LedgerState, txid: Txid): Knowledge {
  const open = state.open.get(txid)
  if (open !== undefined) return open.outcome ?? { kind: 'preparing' }
  const past = pastDecision(state, txid)
  if (past !== undefined) return past.outcome
  // A guarded one that the watermark has overtaken since is not among those that are known to be over.
  if (isGuarded(state, txid)) return { kind: 'unknown' }
  return isBehindWatermark(state, txid) ? { kind: 'forgotten' } : { kind: 'unknown' }
}
