import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { type BranchId, type ClusterId, makeGid, makeTxid, systemClock, type Txid } from '../base/index.ts'
import { NotLeaderError } from '../replica/index.ts'
import { type BranchInDoubt, type InDoubtReport, NOTHING_BLOCKED, type Resource } from '../resources/index.ts'
import type { Knowledge } from '../txn/index.ts'
import { InDoubtDesk } from './in-doubt-desk.ts'
import type { InDoubtAnswer } from './in-doubt-view.ts'

const CLUSTER = 'trips' as ClusterId
const BRANCH = 0 as BranchId
const HOUR_MS = 3_600_000

const madeAgo = (ms: number): Txid => makeTxid(Date.now() - ms, randomBytes(10))

function branch(txid: Txid, ageMs: number | undefined): BranchInDoubt {
  const gid = makeGid(CLUSTER, txid, BRANCH)
  return { gid, cluster: CLUSTER, txid, branch: BRANCH, ageMs, owner: 'app', vacuum: undefined, ...NOTHING_BLOCKED }
}

function database(name: string, inDoubt: () => Promise<readonly BranchInDoubt[]>): Resource<unknown> {
  const report = async (): Promise<InDoubtReport> => ({
    branches: await inDoubt(),
    unattributed: NOTHING_BLOCKED,
    foreign: { here: 1, elsewhere: 2 },
    slots: { max: 8, used: 3 },
    notes: [],
  })
  return {
    name,
    kind: 'postgres',
    inspection: { inDoubt: report, examine: async () => [] },
  } as unknown as Resource<unknown>
}

interface Given {
  readonly resources: readonly Resource<unknown>[]
  readonly knowledge?: (txid: Txid) => Knowledge
  readonly participant?: string
  readonly leading?: boolean
  readonly guardBeforeMs?: number
  readonly barrier?: () => Promise<void>
  readonly resolverError?: string
}

function ask(given: Given, question: object = {}): Promise<InDoubtAnswer> {
  return deskOf(given).answer('in-doubt', { waitMs: 50, ...question })!
}

function deskOf(given: Given): InDoubtDesk {
  const { resources, knowledge = () => ({ kind: 'unknown' }), participant, leading = true, resolverError } = given
  return new InDoubtDesk({
    coordinator: {
      status: () => ({ leading, leader: undefined, heuristicCount: 0 }),
      unacknowledged: [],
      knowledge,
      transaction: () =>
        participant === undefined ? undefined : { branches: [{ branch: BRANCH, kind: 'local', participant }] },
      guard: given.guardBeforeMs === undefined ? undefined : { fromMs: 0, beforeMs: given.guardBeforeMs },
    } as never,
    log: { readBarrier: given.barrier ?? (async () => {}) },
    resolver: { status: () => ({ resources: resources.map(({ name }) => ({ name, error: resolverError })) }) as never },
    resources,
    clusterId: CLUSTER,
    node: 2,
    clock: systemClock,
  })
}

test('another question is none of its business', () => {
  const desk = new InDoubtDesk({} as never)
  expect(desk.answer('list', {})).toBeUndefined()
})

test('branches come with what is known of their transactions, the oldest first', async () => {
  const [young, old] = [madeAgo(5), madeAgo(50)]
  const answer = await ask({
    resources: [database('flights', async () => [branch(young, 5_000), branch(old, 60_000)])],
    knowledge: (txid) => (txid === old ? { kind: 'committed' } : { kind: 'preparing' }),
    resolverError: 'not the owner',
  })
  expect(answer).toMatchObject({ cluster: 'trips', node: 2, current: true, guard: null, branchCount: 2 })
  expect(answer.branches).toMatchObject([
    { txid: old, branch: 0, resource: 'flights', ageMs: 60_000, ageIsBound: false, decision: { kind: 'committed' } },
    { txid: young, resource: 'flights', decision: { kind: 'preparing' }, guarded: false },
  ])
  expect(answer.resources).toMatchObject([
    { name: 'flights', inDoubt: 2, slots: { max: 8, used: 3 }, foreign: { here: 1, elsewhere: 2 }, error: undefined },
  ])
  expect(answer.resources[0]?.resolverError).toBe('not the owner')
})

test('decisions are read behind a barrier that comes after the databases were looked at', async () => {
  const order: string[] = []
  await ask({
    resources: [
      database('flights', async () => {
        order.push('databases')
        return [branch(madeAgo(1), 1)]
      }),
    ],
    barrier: async () => void order.push('barrier'),
    knowledge: () => {
      order.push('knowledge')
      return { kind: 'unknown' }
    },
  })
  expect(order).toEqual(['databases', 'barrier', 'knowledge'])
})

test('where the database keeps no time, the age is bounded by that of the transaction', async () => {
  const answer = await ask({ resources: [database('hotels', async () => [branch(madeAgo(HOUR_MS), undefined)])] })
  expect(answer.branches[0]?.ageIsBound).toBe(true)
  expect(answer.branches[0]?.ageMs).toBeGreaterThanOrEqual(HOUR_MS)
  expect(answer.branches[0]?.ageMs).toBeLessThan(HOUR_MS + 60_000)
})

test('only what is not decided and older than the guard is guarded', async () => {
  const [before, after, decided] = [madeAgo(HOUR_MS), madeAgo(0), madeAgo(HOUR_MS)]
  const answer = await ask({
    resources: [database('flights', async () => [before, after, decided].map((txid) => branch(txid, 1)))],
    knowledge: (txid) => (txid === decided ? { kind: 'committed' } : { kind: 'unknown' }),
    guardBeforeMs: Date.now() - 60_000,
  })
  expect(answer.branches.filter(({ guarded }) => guarded).map(({ txid }) => txid)).toEqual([before])
})

test('a branch that two names of one server list belongs to the name that its client gave', async () => {
  const txid = madeAgo(1)
  const list = async () => [branch(txid, 1)]
  const resources = [database('hotels', list), database('cars', list)]
  expect((await ask({ resources, participant: 'cars' })).branches).toMatchObject([{ resource: 'cars' }])
  expect((await ask({ resources, participant: 'hotels' })).branches).toMatchObject([{ resource: 'hotels' }])
  expect((await ask({ resources })).branches).toMatchObject([{ resource: 'hotels' }])
  expect((await ask({ resources, participant: 'cars' })).resources.map(({ inDoubt }) => inDoubt)).toEqual([0, 1])
})

test('a database that hangs or fails holds up no other and is named', async () => {
  const resources = [
    database('hung', () => new Promise(() => {})),
    database('down', () => Promise.reject(new Error('ECONNREFUSED'))),
    database('well', async () => [branch(madeAgo(1), 1)]),
  ]
  const answer = await ask({ resources })
  expect(answer.branches).toHaveLength(1)
  expect(answer.resources.map(({ error }) => error)).toEqual([
    'it did not answer within 50 ms',
    'ECONNREFUSED',
    undefined,
  ])
})

test('the limit leaves out the youngest, and the count says so', async () => {
  const branches = [1, 2, 3].map((age) => branch(madeAgo(1), age))
  const answer = await ask({ resources: [database('flights', async () => branches)] }, { limit: 2 })
  expect(answer.branches.map(({ ageMs }) => ageMs)).toEqual([3, 2])
  expect(answer.branchCount).toBe(3)
})

test('a follower sends to the leader, unless its own view is wanted', async () => {
  const given = { resources: [], leading: false }
  await expect(ask(given)).rejects.toThrow(NotLeaderError)
  expect((await ask(given, { own: true })).current).toBe(true)
})

test('a coordinator that hears no majority says that its own view may be out of date', async () => {
  const barrier = () => new Promise<void>(() => {})
  expect((await ask({ resources: [], leading: false, barrier }, { own: true })).current).toBe(false)
  await expect(ask({ resources: [], barrier })).rejects.toThrow(/50 ms/)
})

test('a database without an inspection is listed by the port that the resolver uses', async () => {
  const txid = madeAgo(1)
  const { cluster, gid } = branch(txid, 1)
  const list = async () => [{ gid, cluster, txid, branch: BRANCH, ageMs: 7 }]
  const answer = await ask({ resources: [{ name: 'plain', kind: 'postgres', inDoubt: { list } } as never] })
  expect(answer.branches).toMatchObject([{ gid, ageMs: 7, sessionCount: 0 }])
})

test('however many ask at once, a database is looked into once at a time, and again later', async () => {
  let looks = 0
  let finish = (): void => {}
  const list = async () => {
    looks += 1
    await new Promise<void>((resolve) => {
      finish = resolve
    })
    return []
  }
  const desk = deskOf({ resources: [database('flights', list)] })
  const question = { waitMs: 5_000 }
  const both = [desk.answer('in-doubt', question), desk.answer('in-doubt', question)]
  finish()
  await Promise.all(both)
  expect(looks).toBe(1)
  const later = desk.answer('in-doubt', question)
  finish()
  await later
  expect(looks).toBe(2)
})
