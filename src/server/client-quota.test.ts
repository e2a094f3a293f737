import { expect, test } from 'vitest'
import type { BranchId } from '../base/index.ts'
import type { BranchRecord } from '../txn/index.ts'
import { CLIENT_DEFAULTS, ClientQuota } from './client-quota.ts'

function request(branches: number, participant = 'flights', evidence?: string): { branches: BranchRecord[] } {
  return {
    branches: Array.from({ length: branches }, (_, n) => ({
      branch: n as BranchId,
      kind: 'local',
      participant,
      vote: 'commit',
      evidence,
    })),
  }
}

test('so many transactions are taken, and another one when one has its answer', () => {
  const quota = new ClientQuota({ ...CLIENT_DEFAULTS, openMax: 2 })
  const first = request(1)
  expect([first, request(1), request(1)].map((each) => quota.take(each))).toEqual([
    undefined,
    undefined,
    '2 transactions (clients.openMax)',
  ])
  quota.give(first)
  expect(quota.take(request(1))).toBeUndefined()
  expect(quota.take(request(1))).toBeDefined()
})

test('the branches of all transactions are counted together', () => {
  const quota = new ClientQuota({ ...CLIENT_DEFAULTS, branchesMax: 5 })
  const three = request(3)
  expect(quota.take(three)).toBeUndefined()
  expect(quota.take(request(3))).toBe('5 branches (clients.branchesMax)')
  expect(quota.take(request(2))).toBeUndefined()
  quota.give(three)
  expect(quota.take(request(3))).toBeUndefined()
})

test('names and evidence are counted in bytes', () => {
  const quota = new ClientQuota({ ...CLIENT_DEFAULTS, bytesMax: 2_000 })
  const large = request(1, 'p'.repeat(255), 'e'.repeat(1_024))
  expect(quota.take(large)).toBeUndefined()
  expect(quota.take(large)).toBe('2000 bytes (clients.bytesMax)')
  expect(quota.take(request(1))).toBeUndefined()
  quota.give(large)
  expect(quota.take(large)).toBeUndefined()
})

test('a lone request that is larger than a limit is taken: it could never be otherwise', () => {
  const quota = new ClientQuota({ openMax: 10, branchesMax: 1, bytesMax: 1 })
  const both = request(2)
  expect(quota.take(both)).toBeUndefined()
  expect(quota.take(both)).toBeDefined()
  quota.give(both)
  expect(quota.take(both)).toBeUndefined()
})
