import { expect, test } from 'vitest'
import {
  aborted,
  acknowledged,
  apply,
  BOTH,
  commit,
  completed,
  guard,
  heuristic,
  LIFTED,
  ledgerAfter,
  prepared,
  settle,
  settled,
  txidOf,
  watermark,
} from './fixtures.test-support.ts'
import { Ledger } from './ledger.ts'
import { BUCKET_SPAN_MS } from './outcome-table.ts'
import { SETTLEMENTS_KEPT } from './settlements.ts'
import { drain, restored } from './snapshots.test-support.ts'

const txid = txidOf(1)

test('an order is written down before anything is done, and is to be looked at until its end is known', () => {
  const ledger = ledgerAfter(commit(txid, BOTH), settle(txid, 0, 'commit'))
  const order = { txid, branch: 0, action: 'commit', by: 'ann@desk', standing: 'ordered', found: undefined }
  expect(ledger.unacknowledged).toMatchObject([order])
  apply(ledger, settled(txid, 0, 'committed'))
  expect(ledger.settlements).toMatchObject([{ ...order, standing: 'asDecided', found: 'committed' }])
  expect(ledger.unacknowledged).toEqual([])
  expect(ledger.transaction(txid)).toMatchObject({ heuristics: [], heuristicMixed: false })
})

test('an order that is given again takes the place of the one that was not carried out', () => {
  const ledger = ledgerAfter(commit(txid, BOTH), settle(txid, 0, 'abort'), settle(txid, 0, 'commit'))
  expect(ledger.settlements).toMatchObject([{ action: 'commit', standing: 'ordered' }])
})

test('P1, P2: a branch forced against the decision marks the transaction mixed and leaves the decision as it is', () => {
  const ledger = ledgerAfter(commit(txid, BOTH), settle(txid, 0, 'abort'), settled(txid, 0, 'aborted'))
  expect(ledger.knowledge(txid)).toEqual({ kind: 'committed' })
  expect(ledger.unacknowledged).toMatchObject([{ standing: 'against' }])
  expect(ledger.transaction(txid)).toMatchObject({
    heuristicMixed: true,
    heuristics: [{ branch: 0, found: 'aborted' }],
  })
  apply(ledger, completed(txid))
  expect(ledger.transaction(txid)).toMatchObject({ state: 'completed', heuristicMixed: true })
})

test('a branch that ended otherwise than ordered is recorded as it ended', () => {
  const ledger = ledgerAfter(commit(txid, BOTH), settle(txid, 0, 'abort'), settled(txid, 0, 'committed'))
  expect(ledger.settlements).toMatchObject([{ action: 'abort', found: 'committed', standing: 'asDecided' }])
  expect(ledger.heuristicCount).toBe(0)
})

test('a branch without a trace is unclear under a commit, and as decided under an abort', () => {
  const committed = ledgerAfter(commit(txid, BOTH), settle(txid, 0, 'commit'), settled(txid, 0, 'none'))
  expect(committed.unacknowledged).toMatchObject([{ standing: 'unclear' }])
  expect(committed.heuristicCount).toBe(1)
  const rolledBack = ledgerAfter(aborted(txid, BOTH), settle(txid, 0, 'abort'), settled(txid, 0, 'none'))
  expect(rolledBack.unacknowledged).toEqual([])
})

test('what was forced without a decision is held against the decision that comes after all', () => {
  const ledger = ledgerAfter(guard(10), settle(txid, 0, 'commit'), settled(txid, 0, 'committed'))
  expect(ledger.unacknowledged).toMatchObject([{ standing: 'undecided' }])
  apply(ledger, LIFTED, aborted(txid))
  expect(ledger.unacknowledged).toMatchObject([{ standing: 'against' }])
  expect(ledger.transaction(txid)).toMatchObject({ heuristicMixed: true })
  const lucky = ledgerAfter(prepared(txid), settle(txid, 0, 'commit'), settled(txid, 0, 'committed'), commit(txid))
  expect(lucky.unacknowledged).toEqual([])
  expect(lucky.heuristicCount).toBe(0)
})

test('a decision that comes against what was forced is shown even if somebody has acknowledged the force', () => {
  const ledger = ledgerAfter(guard(10), settle(txid, 0, 'commit'), settled(txid, 0, 'committed'), acknowledged(txid))
  expect(ledger.unacknowledged).toEqual([])
  apply(ledger, LIFTED, aborted(txid))
  expect(ledger.transaction(txid)).toMatchObject({ heuristicMixed: true })
})

test('a forgotten transaction’s branch that is forced to commit stands against its abort', () => {
  const ledger = ledgerAfter(watermark(BUCKET_SPAN_MS), settle(txid, 0, 'commit'), settled(txid, 0, 'committed'))
  expect(ledger.unacknowledged).toMatchObject([{ standing: 'against' }])
  expect(ledger.heuristicCount).toBe(1)
  expect(ledger.knowledge(txid)).toEqual({ kind: 'forgotten' })
})

test('an acknowledgement takes the findings away, is kept with its reason, and the same is not reported again', () => {
  const ledger = ledgerAfter(commit(txid, BOTH), heuristic(txid, 0, 'aborted'), acknowledged(txid))
  expect(ledger.heuristicCount).toBe(0)
  expect(ledger.transaction(txid)).toMatchObject({ heuristics: [], heuristicMixed: false })
  const entry = { action: 'acknowledge', branch: 0, found: 'aborted', by: 'bob@desk', reason: 'booked by hand' }
  expect(ledger.settlements).toMatchObject([entry])
  // A new leader looks for evidence anew.
  apply(ledger, heuristic(txid, 0, 'aborted'), heuristic(txid, 0, 'none'))
  expect(ledger.heuristicCount).toBe(0)
  apply(ledger, heuristic(txid, 1, 'aborted'))
  expect(ledger.heuristicCount).toBe(1)
})

test('an order that is acknowledged while it is carried out is shown again when it ends against the decision', () => {
  const ledger = ledgerAfter(commit(txid, BOTH), settle(txid, 0, 'abort'), acknowledged(txid))
  expect(ledger.unacknowledged).toEqual([])
  apply(ledger, settled(txid, 0, 'aborted'))
  expect(ledger.settlements[0]).toMatchObject({ standing: 'against', found: 'aborted' })
  expect(ledger.transaction(txid)).toMatchObject({ heuristicMixed: true })
})

test('an acknowledgement of nothing changes nothing', () => {
  const ledger = ledgerAfter(acknowledged(txid), settled(txid, 0, 'committed'))
  expect(ledger.digest()).toBe(new Ledger().digest())
})

test('a finished transaction that waited for its acknowledgement alone is forgotten behind the watermark', () => {
  const ledger = ledgerAfter(commit(txid, BOTH), completed(txid), heuristic(txid, 0, 'aborted'))
  apply(ledger, watermark(BUCKET_SPAN_MS), acknowledged(txid))
  expect(ledger.transaction(txid)).toBeUndefined()
  expect(ledger.settlements).toHaveLength(1)
})

test('the book keeps its latest thousand entries, and every one that waits for somebody', () => {
  const ledger = ledgerAfter(settle(txidOf(0), 0, 'commit'))
  for (let n = 1; n <= SETTLEMENTS_KEPT + 5; n++)
    apply(ledger, aborted(txidOf(n)), settle(txidOf(n), 0, 'abort'), settled(txidOf(n), 0, 'aborted'))
  expect(ledger.settlements).toHaveLength(SETTLEMENTS_KEPT)
  expect(ledger.settlements[0]).toMatchObject({ txid: txidOf(0), standing: 'ordered' })
  expect(ledger.settlements[1]).toMatchObject({ txid: txidOf(7) })
})

test('a snapshot holds the book', () => {
  const ledger = ledgerAfter(commit(txid, BOTH), settle(txid, 0, 'abort'), settled(txid, 0, 'aborted'))
  apply(ledger, settle(txid, 1, 'commit'), settle(txidOf(2), 5, 'commit'), settled(txidOf(2), 5, 'none'))
  const copy = restored([drain(ledger.freeze())])
  expect(copy.settlements).toEqual(ledger.settlements)
  expect(copy.digest()).toBe(ledger.digest())
  // What is derived is derived: the decision that comes later finds what was forced before it.
  apply(copy, aborted(txidOf(2)))
  expect(copy.settlements.at(-1)).toMatchObject({ standing: 'asDecided' })
})

test('without settlements bytes and digests are those of releases that know none', () => {
  const ledger = ledgerAfter(commit(txid, BOTH), heuristic(txid, 0, 'aborted'))
  // Both were written down from a release without the book.
  expect(ledger.digest()).toBe('1d375d028d4cc346')
  expect(drain(ledger.freeze()).toString('hex')).toBe(
    [
      '010000002901000000000000000000000000000000010000000000000000000000000000000000000000000000000200000002',
      '0000040000003201977420c000700080000000000000010000000000000000010200040007666c696768747301010006686f74',
      '656c7301000106000000081d375d028d4cc346',
    ].join(''),
  )
})
