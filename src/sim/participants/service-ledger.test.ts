import { expect, test } from 'vitest'
import { systemClock } from '../../base/index.ts'
import { Oracle } from '../oracle/index.ts'
import { type LedgerBranch, ServiceLedger } from './service-ledger.ts'

const A: LedgerBranch = { gid: 'a', txid: 't1', branch: 0 }
const B: LedgerBranch = { gid: 'b', txid: 't2', branch: 0 }

function opened() {
  const failed: string[] = []
  const fail = (check: string): void => void failed.push(check)
  const oracle = new Oracle({ nowMs: 0, fail })
  const ledger = new ServiceLedger('cards', 2, 100, oracle, fail)
  const work = (branch: LedgerBranch, amount: number) =>
    ledger.work(systemClock, branch, { operation: 'op', account: 1, amount, isLocked: true }, 0)
  return { ledger, oracle, failed, work }
}

test('what is set aside shows to its branch alone, keeps its lock until the end, and is booked once', async () => {
  const { ledger, oracle, failed, work } = opened()
  expect(await work(A, -30)).toBe(70)
  await expect(work(B, 0)).rejects.toThrow('stays locked')
  expect(ledger.prepare(A)).toBeUndefined()
  await expect(work(B, 0)).rejects.toThrow('stays locked')
  oracle.branches.askedToCommit('t1')
  ledger.commit(A)
  ledger.commit(A)
  // An instance that was away for long drops what it takes for aborted.
  ledger.abort(A)
  expect(await work(B, 0)).toBe(70)
  expect(ledger.prepare(B)).toBe('readOnly')
  expect(ledger.locked()).toEqual([])
  expect(ledger.found().accounts.map(({ balance }) => balance)).toEqual([100, 70])
  expect(ledger.found().effects).toHaveLength(1)
  expect(failed).toEqual([])
})

test('P1: a commit of what was never prepared is found', async () => {
  const { ledger, failed, work } = opened()
  await work(A, 5)
  ledger.commit(A)
  expect(failed).toEqual(['P1'])
})
