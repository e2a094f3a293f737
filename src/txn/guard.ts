import { isGuarded } from './knowledge.ts'
import type { LedgerState } from './state.ts'
import type { LedgerEffect } from './types.ts'

// Presumed abort rests on a log that holds every decision to commit. After a restore from a backup, or after a recovery
// from the loss of a majority, it does not: an unknown transaction may have been committed, and some of its branches may
// have been told. To abort the others would break atomicity (P1). So a guard keeps such transactions undecided until an
// operator has looked at what the databases still hold prepared, and lifts it.

/** Sets or widens the guard; 0 lifts it, and then votes are asked for again. */
export function applyGuard(state: LedgerState, beforeMs: number, effects: LedgerEffect[]): void {
  const { guard } = state
  if (beforeMs > 0) {
    const fromMs = guard?.fromMs ?? state.watermarkMs
    const widest = Math.max(guard?.beforeMs ?? 0, beforeMs)
    // Whatever is behind the watermark is known well enough.
    if (widest > fromMs) state.guard = { fromMs, beforeMs: widest }
    return
  }
  const waiting = [...state.open.values()].filter(({ txid }) => isGuarded(state, txid))
  state.guard = undefined
  for (const { txid, timeoutMs, branches } of waiting) effects.push({ kind: 'askVotes', txid, timeoutMs, branches })
}
