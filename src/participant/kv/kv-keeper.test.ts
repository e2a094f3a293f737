import { beforeEach, expect, test } from 'vitest'
import { type BranchId, formatBranchTicket, parseBranchId, parseClusterId, type Txid } from '../../base/index.ts'
import { TXIDS } from '../../base/txids.support.ts'
import type { InquireRequest, Reply } from '../../coordinator/index.ts'
import { fresh, restarted, settle, type TestParticipant } from '../../kv/engine/participant.support.ts'
import { KV_PORT_LIMITS, KvDesk } from '../../kv/index.ts'
import type { Vote } from '../../txn/index.ts'
import type { MemoryDisk } from '../../wal/index.ts'
import { Inquirer } from '../service/inquirer.ts'
import { KEEPER_DEFAULTS } from '../service/options.ts'
import { KvKeeper } from './kv-keeper.ts'

const [A, B] = TXIDS as [Txid, Txid]
const clusterId = parseClusterId('trips')
const branch = parseBranchId(3)

let disk: MemoryDisk
let at: TestParticipant
let desk: KvDesk
let keeper: KvKeeper
const acks: [Txid, readonly BranchId[]][] = []
const errors: string[] = []
const logger = { debug() {}, info() {}, warn() {}, error: (_: object, message: string) => void errors.push(message) }

function open(given: TestParticipant): void {
  at = given
  const { kv, clock } = at
  desk = new KvDesk({ kv, name: 'stock', clusterId, clock, limits: KV_PORT_LIMITS, status: () => ({}) })
  const ack = (txid: Txid, branches: readonly BranchId[]): void => void acks.push([txid, branches])
  keeper = new KvKeeper({ kv, desk, ack, clock, logger, options: KEEPER_DEFAULTS })
}

beforeEach(async () => {
  acks.length = 0
  errors.length = 0
  const made = await fresh()
  disk = made.disk
  open(made)
})

/** Begins a branch and writes in it. */
async function work(txid: Txid, key: string): Promise<void> {
  const session = desk.enter()
  const ticket = formatBranchTicket({ cluster: clusterId, txid, branch, participant: 'stock', timeoutMs: 5_000 })
  expect(await session.call({ kind: 'begin', ticket }, 1)).toEqual({ kind: 'done' })
  const statement = { kind: 'put', key, value: 1 } as const
  expect(await session.call({ kind: 'work', txid, statement }, 1)).toEqual({ kind: 'done' })
}

function prepare(txid: Txid, id = branch): Promise<Vote> {
  return new Promise((resolve) => keeper.prepare(txid, id, resolve))
}

test('a vote, the same vote again, a decision, the same decision again: and each decision is acknowledged', async () => {
  await work(A, 'a')
  expect([await prepare(A), await prepare(A)]).toEqual(['commit', 'commit'])
  expect(keeper.inDoubtCount).toBe(1)
  keeper.decide(A, branch, 'commit')
  keeper.decide(A, branch, 'commit')
  await settle()
  expect(acks).toEqual([
    [A, [branch]],
    [A, [branch]],
  ])
  expect([keeper.inDoubtCount, await at.kv.get('a')]).toEqual([0, 1])
})

test('an abort before PREPARE rolls back at once, is acknowledged, and PREPARE afterwards is refused', async () => {
  await work(A, 'a')
  keeper.decide(A, branch, 'abort')
  await settle()
  expect(acks).toEqual([[A, [branch]]])
  expect([desk.openCount, await at.kv.get('a')]).toEqual([0, undefined])
  expect(await prepare(A)).toBe('abort')
})

test('PREPARE for what is not here is a vote to abort; one for another branch leaves ours alone', async () => {
  expect(await prepare(B)).toBe('abort')
  await work(A, 'a')
  expect(await prepare(A, parseBranchId(7))).toBe('abort')
  expect(await prepare(A)).toBe('commit')
  expect(await prepare(A, parseBranchId(7))).toBe('abort')
  expect(errors).toHaveLength(2)
})

test('a decision that contradicts what is on disk is never carried out nor acknowledged, and is said aloud', async () => {
  await work(A, 'a')
  await prepare(A)
  keeper.decide(A, branch, 'abort')
  await settle()
  keeper.decide(A, branch, 'commit')
  // Nobody can commit what was never here: this is not success.
  keeper.decide(B, branch, 'commit')
  await settle()
  expect(acks).toEqual([[A, [branch]]])
  expect(errors).toHaveLength(2)
  expect(await at.kv.get('a')).toBeUndefined()
})

test('P7: a commit of a branch that was never asked for its vote is not carried out, and its locks go', async () => {
  await work(A, 'a')
  keeper.decide(A, branch, 'commit')
  await settle()
  expect([acks.length, errors.length]).toEqual([0, 1])
  expect([desk.openCount, at.kv.transactions, await at.kv.get('a')]).toEqual([0, 0, undefined])
})

test('P7: who is in doubt after a restart asks at once, keeps its locks meanwhile, and does what it hears', async () => {
  await work(A, 'a')
  await work(B, 'b')
  await Promise.all([prepare(A), prepare(B)])
  open(await restarted(disk, { lockTimeoutMs: 10_000 }))
  const asked: InquireRequest[] = []
  let answer: (txid: Txid) => Reply = () => ({ kind: 'outcome', outcome: { kind: 'preparing' } })
  const inquirer = new Inquirer({
    keeper,
    coordinators: {
      inquire: async (request) => {
        asked.push(request)
        return answer(request.txid)
      },
    },
    clusterId,
    clock: at.clock,
    logger,
    options: KEEPER_DEFAULTS,
  })
  inquirer.start()
  await settle()
  expect(asked).toMatchObject([
    { txid: A, settle: true },
    { txid: B, settle: true },
  ])
  let isRead = false
  const reading = at.kv.get('a').then((value) => {
    isRead = true
    return value
  })
  await settle()
  expect(isRead).toBe(false)
  answer = (txid) => ({
    kind: 'outcome',
    outcome: txid === A ? { kind: 'committed' } : { kind: 'aborted', reason: 'presumed', participant: undefined },
  })
  // The next question comes after one second and a little.
  for (let tick = 0; tick < 9; tick++) at.clock.advance(100)
  expect(asked).toHaveLength(2)
  for (let tick = 0; tick < 5; tick++) {
    at.clock.advance(100)
    await settle()
  }
  inquirer.stop()
  expect([await reading, await at.kv.get('b')]).toEqual([1, undefined])
  expect(acks.map(([txid]) => txid).sort()).toEqual([A, B])
  expect(keeper.inDoubtCount).toBe(0)
})

test('a read-only branch votes so, and is not in doubt', async () => {
  const session = desk.enter()
  const ticket = formatBranchTicket({ cluster: clusterId, txid: A, branch, participant: 'stock', timeoutMs: 5_000 })
  await session.call({ kind: 'begin', ticket }, 1)
  await session.call({ kind: 'work', txid: A, statement: { kind: 'get', key: 'a' } }, 1)
  expect([await prepare(A), await prepare(A)]).toEqual(['readOnly', 'readOnly'])
  expect([keeper.inDoubtCount, desk.openCount]).toEqual([0, 0])
})

test('what is forgotten here has ended as it was decided, so it is acknowledged', async () => {
  await work(A, 'a')
  await prepare(A)
  keeper.decide(A, branch, 'commit')
  await settle()
  await at.kv.forgetBefore(at.clock.wallMs())
  keeper.decide(A, branch, 'commit')
  await settle()
  expect([acks.length, errors]).toEqual([2, []])
})

test('closing takes no more orders, and waits for those that are under way', async () => {
  await work(A, 'a')
  let vote: Vote | undefined
  keeper.prepare(A, branch, (given) => {
    vote = given
  })
  await keeper.close()
  expect(vote).toBe('commit')
  keeper.decide(A, branch, 'commit')
  await settle()
  expect(acks).toEqual([])
})
