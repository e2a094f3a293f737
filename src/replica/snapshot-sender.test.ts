import { afterEach, expect, test } from 'vitest'
import { type Clock, parseNodeId, systemClock, type Timer } from '../base/index.ts'
import {
  EMPTY_CONFIGURATION,
  type InstallSnapshot,
  type InstallSnapshotResponse,
  type LogIndex,
  type RaftEvent,
  type Term,
} from '../raft/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { CLUSTER, silentLogger } from './fleet.support.ts'
import { SnapshotSender } from './snapshot-sender.ts'
import { SnapshotStore, type StoredSnapshot } from './snapshot-store.ts'

const TERM = 7 as Term

/** Its timers go off when they are told to. */
class ManualClock implements Clock {
  readonly tasks = new Map<number, () => void>()
  #last = 0

  monotonicMs = () => 0
  wallMs = () => 0

  after(): Timer {
    throw new Error('the sender does not use it')
  }

  every(_: number, task: () => void): Timer {
    this.tasks.set(++this.#last, task)
    return { timer: this.#last }
  }

  cancel({ timer }: Timer): void {
    this.tasks.delete(timer as number)
  }

  round(): void {
    for (const task of [...this.tasks.values()]) task()
  }
}

/** A leader that has one snapshot. */
class Leader {
  readonly disk = new MemoryDisk()
  readonly clock = new ManualClock()
  readonly sent: InstallSnapshot[] = []
  readonly events: RaftEvent[] = []
  readonly damaged: string[] = []
  wanted = true
  store!: SnapshotStore
  sender!: SnapshotSender

  static async make(): Promise<Leader> {
    const leader = new Leader()
    const { disk, clock } = leader
    const store = await SnapshotStore.open({
      disk,
      directory: '/s',
      clusterId: CLUSTER,
      clock: systemClock,
      later: queueMicrotask,
    })
    leader.store = store
    leader.sender = new SnapshotSender({
      store,
      disk,
      clock,
      logger: silentLogger,
      nodeId: parseNodeId(1),
      chunkBytes: 1000,
      askAgainMs: 100,
      send: (message) => leader.sent.push(message),
      enqueue: (event) => leader.events.push(event),
      isWanted: () => leader.wanted,
      onDamaged: (error) => leader.damaged.push(error.code),
      onFatal: (error) => expect.unreachable(error.message),
    })
    return leader
  }

  take(index = 40): Promise<StoredSnapshot> {
    const pieces = [Buffer.alloc(10_000, index)]
    const position = { index: index as LogIndex, term: 2 as Term }
    const configuration = { configuration: EMPTY_CONFIGURATION, context: Buffer.alloc(0) }
    const state = { next: () => pieces.shift(), close: () => {} }
    return this.store.take({ clusterId: CLUSTER, position, configuration, takenAtMs: 0 }, state, async () => {})
  }

  answer(to: number, more: Partial<InstallSnapshotResponse> = {}): void {
    const { snapshot, snapshotId } = this.sent.findLast((message) => message.to === to)!
    this.sender.acknowledged({
      kind: 'installSnapshotResponse',
      from: parseNodeId(to),
      to: parseNodeId(1),
      term: TERM,
      snapshot,
      snapshotId,
      receivedBytes: 0,
      status: 'receiving',
      ...more,
    })
  }

  /** Which files there are once all that is not needed is gone. */
  async pruned(): Promise<readonly string[]> {
    await this.store.prune()
    return [...(await this.disk.list('/s'))].sort()
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

const TWO = parseNodeId(2)
const THREE = parseNodeId(3)
let leader: Leader

afterEach(() => leader.sender.stop())

test('a follower gets the newest snapshot, chunk by chunk, until it says that it is installed', async () => {
  leader = await Leader.make()
  const { fileBytes } = await leader.take()
  leader.sender.begin(TWO, TERM)
  await settle()
  const received: Buffer[] = []
  for (let at = 0; at < fileBytes; ) {
    leader.answer(2, { receivedBytes: at })
    await settle()
    const chunk = leader.sent.findLast((message) => message.offset === at && message.data.length > 0)!
    received.push(Buffer.from(chunk.data))
    at += chunk.data.length
  }
  expect(Buffer.concat(received)).toEqual(leader.disk.contentOf('/s/snapshot-40-2.snap'))
  leader.answer(2, { receivedBytes: 0, status: 'installed' })
  expect(leader.sender.sending).toEqual([])
  expect(leader.clock.tasks.size, 'nobody is watched any more').toBe(0)
  expect(leader.events).toEqual([])
})

test('a newer snapshot does not disturb one that is on its way, whose file stays until then', async () => {
  leader = await Leader.make()
  await leader.take(40)
  leader.sender.begin(TWO, TERM)
  await settle()
  await leader.take(50)
  leader.sender.begin(THREE, TERM)
  await settle()
  expect(leader.sender.sending).toEqual([40, 50])
  expect(await leader.pruned()).toEqual(['snapshot-40-2.snap', 'snapshot-50-2.snap'])
  leader.answer(2)
  await settle()
  expect(leader.sent.findLast(({ to }) => to === 2)!.snapshot.index).toBe(40)
  leader.answer(2, { status: 'installed' })
  expect(await leader.pruned()).toEqual(['snapshot-50-2.snap'])
})

test('whoever does not answer is asked again and again, and then given up', async () => {
  leader = await Leader.make()
  await leader.take()
  leader.sender.begin(TWO, TERM)
  await settle()
  let rounds = 0
  for (; leader.events.length === 0 && rounds < 100; rounds++) leader.clock.round()
  expect(rounds).toBeGreaterThan(10)
  expect(leader.sent.length).toBeGreaterThan(10)
  expect(leader.sent.every(({ data, offset }) => data.length === 0 && offset === 0)).toBe(true)
  expect(leader.events).toEqual([{ kind: 'snapshotFailed', to: 2, term: 7 }])
  expect(leader.sender.sending).toEqual([])
})

test('a slow follower that comes forward is never given up', async () => {
  leader = await Leader.make()
  const { fileBytes } = await leader.take()
  leader.sender.begin(TWO, TERM)
  await settle()
  for (let at = 1; at < fileBytes; at += 100) {
    leader.answer(2, { receivedBytes: at })
    for (let round = 0; round < 30; round++) leader.clock.round()
  }
  expect(leader.events).toEqual([])
})

test('a follower that can not use what it gets is given up', async () => {
  leader = await Leader.make()
  const { fileBytes } = await leader.take()
  leader.sender.begin(TWO, TERM)
  await settle()
  for (let round = 0; round < 5 && leader.events.length === 0; round++) {
    leader.answer(2, { receivedBytes: fileBytes })
    leader.answer(2, { receivedBytes: 0 })
  }
  expect(leader.events).toEqual([{ kind: 'snapshotFailed', to: 2, term: 7 }])
})

test('a snapshot that has rotted is not sent, and another one is asked for', async () => {
  leader = await Leader.make()
  await leader.take()
  const content = leader.disk.contentOf('/s/snapshot-40-2.snap')
  content[5000]! ^= 1
  leader.disk.overwrite('/s/snapshot-40-2.snap', content)
  leader.sender.begin(TWO, TERM)
  await settle()
  expect(leader.sent).toEqual([])
  expect(leader.damaged).toEqual(['SNAPSHOT_DAMAGED'])
  expect(leader.events).toEqual([{ kind: 'snapshotFailed', to: 2, term: 7 }])
})

test('without a snapshot there is nothing to send', async () => {
  leader = await Leader.make()
  leader.sender.begin(TWO, TERM)
  await settle()
  expect(leader.events).toEqual([{ kind: 'snapshotFailed', to: 2, term: 7 }])
})

test('a refusal ends it without another word: Raft has heard it as well', async () => {
  leader = await Leader.make()
  await leader.take()
  leader.sender.begin(TWO, TERM)
  await settle()
  leader.answer(2, { status: 'refused' })
  expect([leader.sender.sending, leader.events]).toEqual([[], []])
})

test('with the leadership, or a later term of it, everything on its way ends', async () => {
  leader = await Leader.make()
  await leader.take()
  leader.sender.begin(TWO, TERM)
  leader.sender.begin(THREE, TERM)
  await settle()
  leader.sender.endBefore(TERM)
  expect(leader.sender.sending).toHaveLength(2)
  leader.sender.endBefore((TERM + 1) as Term)
  expect(leader.sender.sending).toHaveLength(0)
  leader.sender.begin(TWO, TERM)
  await settle()
  leader.sender.endAll()
  expect(leader.sender.sending).toHaveLength(0)
  expect(leader.events).toEqual([])
})

test('a follower that needs no snapshot any more gets no more of it', async () => {
  leader = await Leader.make()
  await leader.take()
  leader.sender.begin(TWO, TERM)
  await settle()
  leader.wanted = false
  leader.clock.round()
  expect([leader.sender.sending, leader.events]).toEqual([[], []])
})
