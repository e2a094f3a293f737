import { beforeEach, expect, test } from 'vitest'
import { parseBranchTicket } from '../base/index.ts'
import { Concordat } from './concordat.ts'
import { InvalidOptionsError, TooManyBranchesError, TransactionAbortedError, TransactionEndedError } from './errors.ts'
import { MemoryResource } from './memory-resource.support.ts'
import { refuse, ScriptedPort } from './scripted-port.support.ts'
import { service } from './service.ts'
import type { Transaction } from './transaction.ts'

const payments = service('payments')
let port: ScriptedPort
let concordat: Concordat

beforeEach(() => {
  port = new ScriptedPort()
  concordat = Concordat.over(port, { closeTimeoutMs: 500 })
  return () => concordat.close()
})

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  )
}

test('a service’s branch is committed without a vote, beside the prepared branch of a database', async () => {
  const flights = new MemoryResource('flights')
  await concordat.transaction(async (tx) => {
    await tx.enlist(flights)
    await tx.enlist(payments)
  })
  expect(flights.branches[0]?.log).toEqual(['prepare', 'commit'])
  expect(port.commits[0]?.branches).toMatchObject([
    { branch: 0, kind: 'local', participant: 'flights', vote: 'commit' },
    { branch: 1, kind: 'service', participant: 'payments', vote: undefined },
  ])
})

test('the service acknowledges its own branch: the client speaks for its databases only', async () => {
  await concordat.transaction(async (tx) => {
    await tx.enlist(payments)
    await tx.enlist(new MemoryResource('flights'))
  })
  expect(port.acks.map(({ branches }) => branches)).toEqual([[1]])
})

test('a lone service is decided by the coordinators, not by a one-phase commit', async () => {
  await concordat.transaction((tx) => tx.enlist(payments))
  expect(port.commits[0]?.branches).toMatchObject([{ branch: 0, kind: 'service' }])
})

test('each enlistment is a branch of its own, and its ticket names it', async () => {
  const [first, second, txid] = await concordat.transaction(async (tx) => {
    const branches = [await tx.enlist(payments), await tx.enlist(payments)] as const
    const [one, two] = branches.map((branch) => parseBranchTicket(branch.headers()['concordat-tx'] ?? ''))
    return [one, two, tx.txid] as const
  })
  expect(first).toMatchObject({ cluster: 'scripted', txid, branch: 0, participant: 'payments' })
  expect(first?.timeoutMs).toBeGreaterThan(29_000)
  expect(second).toMatchObject({ txid, branch: 1 })
})

test('when the callback throws, the coordinators are told, and they tell the service', async () => {
  const flights = new MemoryResource('flights')
  const refused = new Error('no seat')
  const work = concordat.transaction(async (tx) => {
    await tx.enlist(flights)
    await tx.enlist(payments)
    throw refused
  })
  expect(await failure(work)).toBe(refused)
  await concordat.close()
  expect(flights.branches[0]?.log).toEqual(['abort'])
  expect(port.aborts).toMatchObject([{ branches: [{ branch: 1, kind: 'service', participant: 'payments' }] }])
  expect(port.commits).toEqual([])
})

test('when a database votes abort, the service is never asked, and told', async () => {
  const flights = new MemoryResource('flights')
  flights.prepareBranch = (branch) => {
    branch.onPrepare = () => ({ kind: 'abort', cause: new Error('no seat') })
  }
  const work = concordat.transaction(async (tx) => {
    await tx.enlist(payments)
    await tx.enlist(flights)
  })
  expect(await failure(work)).toBeInstanceOf(TransactionAbortedError)
  await concordat.close()
  expect(port.commits).toEqual([])
  expect(port.aborts).toMatchObject([{ branches: [{ kind: 'service' }] }])
})

test('a service that votes abort aborts the databases’ branches', async () => {
  const flights = new MemoryResource('flights')
  port.onCommit = ({ txid }) => port.decide(txid, { kind: 'aborted', reason: 'votedAbort', participant: 'payments' })
  const work = concordat.transaction(async (tx) => {
    await tx.enlist(flights)
    await tx.enlist(payments)
  })
  expect(await failure(work)).toMatchObject({ code: 'TXN_ABORTED', reason: 'votedAbort', participant: 'payments' })
  expect(flights.branches[0]?.log).toEqual(['prepare', 'abort'])
})

test('a refused request leaves nothing to a service: it is told', async () => {
  port.onCommit = () => refuse('OVERLOADED', true)
  expect(await failure(concordat.transaction((tx) => tx.enlist(payments)))).toMatchObject({ reason: 'refused' })
  await concordat.close()
  expect(port.aborts).toMatchObject([{ branches: [{ kind: 'service' }] }])
})

test('the answer is waited for longer than the votes, so that a deadline is heard of', async () => {
  await concordat.transaction((tx) => tx.enlist(payments))
  const { timeoutMs = 0, answerMs = 0 } = port.commits[0] ?? {}
  expect(answerMs - timeoutMs).toBe(2_000)
})

test('services and databases share the branches that a transaction may have', async () => {
  const many = async (tx: Transaction) => {
    for (let i = 0; i < 64; i++) await tx.enlist(payments)
    await tx.enlist(new MemoryResource('flights'))
  }
  expect(await failure(concordat.transaction(many))).toBeInstanceOf(TooManyBranchesError)
  const manyServices = async (tx: Transaction) => {
    for (let i = 0; i < 65; i++) await tx.enlist(payments)
  }
  expect(await failure(concordat.transaction(manyServices))).toBeInstanceOf(TooManyBranchesError)
})

test('after the callback no service joins', async () => {
  const ended = await concordat.transaction((tx) => ({ tx }))
  expect(await failure(ended.tx.enlist(payments))).toBeInstanceOf(TransactionEndedError)
})

test('a service’s name has plain characters', () => {
  for (const name of ['', 'a b', 'x'.repeat(65)]) expect(() => service(name), name).toThrow(InvalidOptionsError)
})
