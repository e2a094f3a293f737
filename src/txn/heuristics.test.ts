import { expect, test } from 'vitest'
import {
  aborted,
  apply,
  BOTH,
  COMMITTED,
  commit,
  completed,
  FLIGHTS,
  heuristic,
  ledgerAfter,
  prepared,
  txidOf,
  watermark,
} from './fixtures.test-support.ts'
import { Ledger } from './ledger.ts'
import { BUCKET_SPAN_MS } from './outcome-table.ts'

const txid = txidOf(1)

test('P1: a branch found otherwise than decided marks the transaction heuristicMixed', () => {
  const committed = ledgerAfter(commit(txid, BOTH), heuristic(txid, 0, 'aborted'))
  expect(committed.transaction(txid)).toMatchObject({
    heuristicMixed: true,
    heuristics: [{ branch: 0, found: 'aborted' }],
  })
  const rolledBack = ledgerAfter(aborted(txid, BOTH), heuristic(txid, 1, 'committed'))
  expect(rolledBack.transaction(txid)?.heuristicMixed).toBe(true)
})

test('a branch found as decided, or of which nothing can be told, is shown without being mixed', () => {
  const ledger = ledgerAfter(commit(txid, BOTH), heuristic(txid, 0, 'committed'), heuristic(txid, 1, 'none'))
  expect(ledger.transaction(txid)).toMatchObject({ heuristicMixed: false, heuristics: [{ branch: 0 }, { branch: 1 }] })
  expect(ledger.heuristicCount).toBe(1)
})

test('a finding before the decision counts against the decision', () => {
  const ledger = ledgerAfter(prepared(txid), heuristic(txid, 0, 'aborted'))
  expect(ledger.transaction(txid)?.heuristicMixed).toBe(false)
  apply(ledger, commit(txid))
  expect(ledger.transaction(txid)?.heuristicMixed).toBe(true)
})

test('the first definite finding of a branch stands; none gives way to it', () => {
  const ledger = ledgerAfter(commit(txid, BOTH), heuristic(txid, 0, 'none'), heuristic(txid, 0, 'aborted'))
  apply(ledger, heuristic(txid, 0, 'committed'), heuristic(txid, 0, 'none'))
  expect(ledger.transaction(txid)?.heuristics).toEqual([{ branch: 0, found: 'aborted' }])
})

test('a finding for a finished transaction brings it back before the operators', () => {
  const ledger = ledgerAfter(commit(txid, BOTH), completed(txid), heuristic(txid, 0, 'aborted'))
  expect(ledger.transaction(txid)).toMatchObject({ state: 'completed', outcome: COMMITTED, heuristicMixed: true })
  expect(ledger.list({ limit: 10 })).toHaveLength(1)
  apply(ledger, watermark(BUCKET_SPAN_MS))
  expect(apply(ledger, commit(txid, [FLIGHTS]))).toEqual([{ kind: 'refused', txid, reason: 'otherBranches' }])
  expect(apply(ledger, commit(txid, BOTH))).toEqual([{ kind: 'alreadyDecided', txid, outcome: COMMITTED }])
})

test('a finding for a forgotten transaction is kept without an outcome, and the txid stays forgotten', () => {
  const ledger = ledgerAfter(watermark(BUCKET_SPAN_MS), heuristic(txid, 0, 'committed'))
  expect(ledger.transaction(txid)).toMatchObject({ state: 'completed', outcome: undefined, heuristicMixed: false })
  expect(ledger.knowledge(txid)).toEqual({ kind: 'forgotten' })
  expect(apply(ledger, commit(txid, BOTH))).toMatchObject([{ kind: 'refused', reason: 'olderThanWatermark' }])
})

test('a finding for an unknown young txid changes nothing', () => {
  const ledger = ledgerAfter(heuristic(txid, 0, 'committed'))
  expect(ledger.digest()).toBe(new Ledger().digest())
  expect(ledger.knowledge(txid)).toEqual({ kind: 'unknown' })
})
