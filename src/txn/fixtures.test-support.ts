import { type BranchId, makeTxid, type Txid } from '../base/index.ts'
import { Ledger } from './ledger.ts'
import type { BranchKind, BranchRecord, LedgerCommand, LedgerEffect } from './types.ts'

/** A wall-clock time for tests, on a bucket's boundary: 2^13 divides it. */
export const START_MS = 2 ** 13 * 213_623_046

/** The n-th txid of a test, made `afterMs` after START_MS. */
export function txidOf(n: number, afterMs = 0): Txid {
  const random = Buffer.alloc(10)
  random.writeUInt32BE(n, 6)
  return makeTxid(START_MS + afterMs, random)
}

/** A branch that voted commit, unless `more` says otherwise. */
export function branchOf(n: number, participant: string, more: Partial<BranchRecord> = {}): BranchRecord {
  const kind: BranchKind = 'local'
  return { branch: n as BranchId, kind, participant, vote: 'commit', evidence: undefined, ...more }
}

export const FLIGHTS = branchOf(0, 'flights')
export const HOTELS = branchOf(1, 'hotels', { kind: 'service', vote: undefined })
export const BOTH = [FLIGHTS, HOTELS]

export const prepared = (txid: Txid, branches: readonly BranchRecord[] = BOTH): LedgerCommand => ({
  kind: 'prepared',
  txid,
  timeoutMs: 30_000,
  branches,
})
export const commit = (txid: Txid, branches?: readonly BranchRecord[]): LedgerCommand => ({
  kind: 'commit',
  txid,
  branches,
})
export const aborted = (
  txid: Txid,
  branches: readonly BranchRecord[] = [],
  participant: string | undefined = undefined,
): LedgerCommand => ({
  kind: 'aborted',
  txid,
  reason: participant === undefined ? 'presumed' : 'votedAbort',
  participant,
  branches,
})
export const completed = (...txids: Txid[]): LedgerCommand => ({ kind: 'completed', txids })
export const heuristic = (txid: Txid, n: number, found: 'committed' | 'aborted' | 'none'): LedgerCommand => ({
  kind: 'heuristic',
  txid,
  branch: n as BranchId,
  found,
})
export const settle = (txid: Txid, n: number, action: 'commit' | 'abort'): LedgerCommand => ({
  kind: 'settle',
  txid,
  branch: n as BranchId,
  action,
  by: 'ann@desk',
  reason: 'her database must go on',
  evidence: '{}',
  atMs: START_MS,
})
export const settled = (txid: Txid, n: number, found: 'committed' | 'aborted' | 'none'): LedgerCommand => ({
  kind: 'settled',
  txid,
  branch: n as BranchId,
  found,
})
export const acknowledged = (txid: Txid): LedgerCommand => ({
  kind: 'acknowledged',
  txid,
  by: 'bob@desk',
  reason: 'booked by hand',
  atMs: START_MS + 1,
})
export const watermark = (afterMs: number): LedgerCommand => ({ kind: 'watermark', beforeMs: START_MS + afterMs })
export const guard = (afterMs: number): LedgerCommand => ({
  kind: 'guard',
  beforeMs: START_MS + afterMs,
  reason: 'a backup was restored',
})
export const LIFTED: LedgerCommand = { kind: 'guard', beforeMs: 0, reason: 'an operator looked' }

export const COMMITTED = { kind: 'committed' } as const
export const PRESUMED = { kind: 'aborted', reason: 'presumed', participant: undefined } as const

/** Applies the commands, validating after each, and returns the effects of the last. */
export function apply(ledger: Ledger, ...commands: readonly LedgerCommand[]): LedgerEffect[] {
  let effects: LedgerEffect[] = []
  for (const command of commands) {
    effects = []
    ledger.apply(command, effects)
    ledger.validate()
  }
  return effects
}

/** A ledger to which the commands were applied. */
export function ledgerAfter(...commands: readonly LedgerCommand[]): Ledger {
  const ledger = new Ledger()
  apply(ledger, ...commands)
  return ledger
}
