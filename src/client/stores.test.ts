import { afterEach, beforeEach, expect, test } from 'vitest'
import { type BranchId, systemClock, type Txid } from '../base/index.ts'
// The engine's own helpers: a participant on a disk in memory.
import { fresh, type TestParticipant } from '../kv/engine/participant.support.ts'
import { KeyValueStore, KV_PORT_LIMITS, KvDesk, LocalChannel } from '../kv/index.ts'
import { KvKeeper } from '../participant/kv/kv-keeper.ts'
import { KEEPER_DEFAULTS } from '../participant/service/options.ts'
import { Concordat } from './concordat.ts'
import type { TransactionAbortedError } from './errors.ts'
import { MemoryResource } from './memory-resource.support.ts'
import { refuse, ScriptedPort } from './scripted-port.support.ts'

let port: ScriptedPort
let concordat: Concordat
let at: TestParticipant
let desk: KvDesk
let channel: LocalChannel
let stock: KeyValueStore

beforeEach(async () => {
  port = new ScriptedPort()
  concordat = Concordat.over(port, { closeTimeoutMs: 500 })
  at = await fresh({ rules: [{ kind: 'notBelowZero', prefix: 'n/' }] })
  const parts = { kv: at.kv, name: 'stock', clusterId: port.cluster, limits: KV_PORT_LIMITS, status: () => ({}) }
  desk = new KvDesk({ ...parts, clock: systemClock })
  channel = new LocalChannel('stock', desk.enter())
  stock = new KeyValueStore({ name: 'stock', address: 'this process', channel, timeoutMs: 1_000 })
})
afterEach(async () => {
  await concordat.close()
  desk.close()
})

async function failure(work: Promise<unknown>): Promise<TransactionAbortedError> {
  return work.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error as TransactionAbortedError,
  )
}

/** The coordinators ask the participant for its vote, and tell it what they decided. */
function coordinate(): void {
  const logger = { debug() {}, info() {}, warn() {}, error() {} }
  const options = KEEPER_DEFAULTS
  const keeper = new KvKeeper({ kv: at.kv, desk, ack: () => {}, clock: systemClock, logger, options })
  port.onCommit = async ({ txid, branches }, decide) => {
    const { branch } = branches.find(({ kind }) => kind === 'kv')!
    const vote = await new Promise((resolve) => keeper.prepare(txid, branch, resolve))
    if (vote === 'abort') return port.decide(txid, { kind: 'aborted', reason: 'votedAbort', participant: 'stock' })
    const reply = decide()
    if (vote === 'commit') keeper.decide(txid, branch, 'commit')
    return reply
  }
}

test('beside a database it is a branch without a vote, of kind kv, which it acknowledges itself', async () => {
  coordinate()
  const flights = new MemoryResource('flights')
  await concordat.transaction(async (tx) => {
    await tx.enlist(flights)
    await (await tx.enlist(stock)).put('a', 1)
  })
  expect(port.commits[0]?.branches).toMatchObject([
    { branch: 0, kind: 'local', participant: 'flights', vote: 'commit' },
    { branch: 1, kind: 'kv', participant: 'stock', vote: undefined },
  ])
  expect(port.acks.map(({ branches }) => branches)).toEqual([[0 as BranchId]])
  expect(await stock.get('a')).toBe(1)
})

test('the same participant gives the same branch, by whatever handle', async () => {
  const twin = new KeyValueStore({ name: 'stock', address: 'this process', channel, timeoutMs: 1_000 })
  await concordat.transaction(async (tx) => {
    const [one, two] = await Promise.all([tx.enlist(stock), tx.enlist(twin)])
    expect(one).toBe(two)
    expect(one.txid).toBe(tx.txid)
  })
})

test('a lone participant commits in one phase: the coordinators never hear of it', async () => {
  await concordat.transaction(async (tx) => (await tx.enlist(stock)).put('a', 1))
  expect([port.commits, port.aborts]).toEqual([[], []])
  expect(await stock.get('a')).toBe(1)
  const broken = concordat.transaction(async (tx) => (await tx.enlist(stock)).put('n/1', -1))
  const error = await failure(broken)
  expect(error).toMatchObject({ reason: 'votedAbort', participant: 'stock', retryable: false })
  expect(error.cause).toMatchObject({ code: 'KV_CONSTRAINT' })
})

test('when the callback throws, the branch is gone, its locks are free, and no coordinator is asked', async () => {
  const error = await failure(
    concordat.transaction(async (tx) => {
      await (await tx.enlist(stock)).put('a', 1)
      throw new Error('changed my mind')
    }),
  )
  expect(error.message).toBe('changed my mind')
  expect([desk.openCount, at.kv.transactions, port.aborts]).toEqual([0, 0, []])
})

test('why a branch voted abort comes out as the cause, with its own word on another attempt', async () => {
  coordinate()
  const flights = new MemoryResource('flights')
  const error = await failure(
    concordat.transaction(async (tx) => {
      await tx.enlist(flights)
      await (await tx.enlist(stock)).put('n/1', -1)
    }),
  )
  expect(error).toMatchObject({ reason: 'votedAbort', participant: 'stock', retryable: false })
  expect(error.cause).toMatchObject({ code: 'KV_CONSTRAINT', message: expect.stringContaining('n/1 would hold -1') })
  expect(flights.branches[0]?.log).toEqual(['prepare', 'abort'])
})

test('an error of a statement makes the transaction abort, even when the callback catches it', async () => {
  const error = await failure(
    concordat.transaction(async (tx) => {
      const branch = await tx.enlist(stock)
      await branch.put('a', 'text')
      await branch.add('a', 1).catch(() => undefined)
    }),
  )
  expect(error).toMatchObject({ code: 'TXN_ABORTED', reason: 'votedAbort', participant: 'stock' })
  expect(error.cause).toMatchObject({ code: 'KV_INVALID' })
  expect(port.commits).toEqual([])
  expect(await stock.get('a')).toBeUndefined()
})

test('a call that nobody awaited makes the transaction abort', async () => {
  const error = await failure(
    concordat.transaction(async (tx) => {
      const branch = await tx.enlist(stock)
      branch.put('a', 1).catch(() => undefined)
    }),
  )
  expect(error).toMatchObject({ reason: 'notAwaited', participant: 'stock' })
  expect(desk.openCount).toBe(0)
})

test('a branch is of no use after its transaction', async () => {
  const branch = await concordat.transaction((tx) => tx.enlist(stock))
  await expect(branch.get('a')).rejects.toMatchObject({ code: 'KV_BRANCH_ENDED' })
})

test('a participant that refuses the branch dooms the transaction', async () => {
  const other = new KeyValueStore({ name: 'money', address: 'this process', channel, timeoutMs: 1_000 })
  const error = await failure(concordat.transaction((tx) => tx.enlist(other).catch(() => undefined)))
  expect(error).toMatchObject({ code: 'BRANCH_WRONG_TICKET' })
})

test('a refused commit request rolls the branch back from here', async () => {
  port.onCommit = () => refuse('OVERLOADED', true)
  const error = await failure(
    concordat.transaction(async (tx) => {
      await tx.enlist(new MemoryResource('flights'))
      await (await tx.enlist(stock)).put('a', 1)
    }),
  )
  expect(error).toMatchObject({ reason: 'refused', retryable: true })
  expect([desk.openCount, at.kv.transactions]).toEqual([0, 0])
})

test('a vote that was given before a refusal is the coordinators’ to settle: they are told', async () => {
  port.onCommit = async ({ txid }) => {
    await at.kv.prepare(txid)
    desk.over(txid)
    return refuse('OVERLOADED', true)
  }
  await failure(
    concordat.transaction(async (tx) => {
      await tx.enlist(new MemoryResource('flights'))
      await (await tx.enlist(stock)).put('a', 1)
    }),
  )
  await expect.poll(() => port.aborts).toMatchObject([{ branches: [{ branch: 1, kind: 'kv' }] }])
  expect(at.kv.inDoubt()).toHaveLength(1)
})

test('a branch whose connection ended before the commit request makes the transaction abort', async () => {
  let txid = '' as Txid
  const error = await failure(
    concordat.transaction({ timeoutMs: 2_000 }, async (tx) => {
      txid = tx.txid
      await (await tx.enlist(stock)).put('a', 1)
      await channel.close()
    }),
  )
  expect(error).toMatchObject({ code: 'TXN_ABORTED', participant: 'stock', retryable: true })
  expect(at.kv.evidence(txid)).toBe('aborted')
})
