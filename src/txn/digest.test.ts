import { expect, test } from 'vitest'
import {
  aborted,
  acknowledged,
  branchOf,
  commit,
  completed,
  heuristic,
  ledgerAfter,
  prepared,
  settle,
  settled,
  txidOf,
  watermark,
} from './fixtures.test-support.ts'
import type { BranchRecord, LedgerCommand } from './types.ts'

const txid = txidOf(1)
const flights = (more: Partial<BranchRecord> = {}) => [branchOf(0, 'flights', more)]

test('ledgers that differ in any one thing have different digests', () => {
  const logs: Record<string, LedgerCommand[]> = {
    empty: [],
    preparing: [prepared(txid, flights())],
    'another txid': [prepared(txidOf(2), flights())],
    'another timeout': [{ kind: 'prepared', txid, timeoutMs: 1, branches: flights() }],
    'another participant': [prepared(txid, [branchOf(0, 'hotels')])],
    'another kind': [prepared(txid, flights({ kind: 'kv' }))],
    'another number': [prepared(txid, [branchOf(1, 'flights')])],
    'another vote': [prepared(txid, flights({ vote: undefined }))],
    'another evidence': [prepared(txid, flights({ evidence: '1' }))],
    'empty evidence': [prepared(txid, flights({ evidence: '' }))],
    'a finding': [prepared(txid, flights()), heuristic(txid, 0, 'none')],
    'another finding': [prepared(txid, flights()), heuristic(txid, 0, 'aborted')],
    committed: [commit(txid, flights())],
    aborted: [aborted(txid, flights())],
    'another reason': [aborted(txid, flights(), 'flights')],
    'completed commit': [commit(txid, flights()), completed(txid)],
    'completed commit of other branches': [commit(txid, [branchOf(0, 'hotels')]), completed(txid)],
    'completed abort': [aborted(txid)],
    noted: [commit(txid, flights()), heuristic(txid, 0, 'none'), completed(txid)],
    'noted otherwise': [commit(txid, flights()), heuristic(txid, 0, 'aborted'), completed(txid)],
    'noted after completion': [commit(txid, flights()), completed(txid), heuristic(txid, 0, 'none'), watermark(9000)],
    'noted after completion of other branches': [
      commit(txid, [branchOf(0, 'hotels')]),
      completed(txid),
      heuristic(txid, 0, 'none'),
      watermark(9000),
    ],
    watermark: [watermark(1)],
    'an order': [commit(txid, flights()), settle(txid, 0, 'abort')],
    'another order': [commit(txid, flights()), settle(txid, 0, 'commit')],
    'an order carried out': [commit(txid, flights()), settle(txid, 0, 'commit'), settled(txid, 0, 'committed')],
    acknowledged: [commit(txid, flights()), heuristic(txid, 0, 'none'), acknowledged(txid)],
  }
  const digests = new Map<string, string>()
  for (const [name, commands] of Object.entries(logs)) {
    const digest = ledgerAfter(...commands).digest()
    expect(digest).toMatch(/^[0-9a-f]{16}$/)
    expect(digests.get(digest), name).toBeUndefined()
    digests.set(digest, name)
  }
})

test('the order in which open transactions came does not count, because a snapshot may restore another', () => {
  const [a, b] = [prepared(txidOf(1), flights()), commit(txidOf(2), flights())]
  expect(ledgerAfter(a, b).digest()).toBe(ledgerAfter(b, a).digest())
})

test('a log replayed gives the digest that it gave when this test was written', () => {
  // Replicas of different versions compare digests: a change here is a change of the format.
  const ledger = ledgerAfter(
    commit(txid, flights()),
    completed(txid),
    prepared(txidOf(2), flights()),
    aborted(txidOf(3)),
  )
  expect(ledger.digest()).toBe('29e02e436a848b55')
})
