import { expect, test } from 'vitest'
import { Prng } from '../base/index.ts'
import { ENTRY_OVERHEAD_BYTES, entriesBytes } from './positions.ts'
import { appendsOf, at, entriesOf, id, OneNode, only, recoveredLog } from './testing/one-node.ts'
import { Script } from './testing/script.ts'
import type { RaftMessage, RaftOptions } from './types.ts'

// A follower whose disk is full, or whose state machine lags, takes no entries: its shell strips them, so that it answers
// AppendEntries as heartbeats. That may last for hours, and must cost its leader next to nothing.

const ENTRY_BYTES = 100
/** What fits into a message: ten entries. The window holds eight messages. */
const LIMITS = {
  messageBytesMax: 10 * (ENTRY_BYTES + ENTRY_OVERHEAD_BYTES),
  inFlightBytesMax: 80 * (ENTRY_BYTES + ENTRY_OVERHEAD_BYTES),
}

/** Three nodes that node 1 leads, and what goes from there to node 3. */
class Group {
  readonly script: Script
  /** Node 3 takes no entries. */
  strips = true
  messages = 0
  withEntries = 0
  bytes = 0

  constructor(overrides: Partial<RaftOptions> = {}) {
    this.script = new Script(3, { ...LIMITS, ...overrides })
    this.script.elect(1, 2, 3)
    this.script.deliver()
  }

  propose(count: number): void {
    const proposals = Array.from({ length: count }, () => new Uint8Array(ENTRY_BYTES))
    this.script.node(1).step({ kind: 'propose', proposals })
  }

  /** Delivers everything, and what follows from it, in order; `deliveriesMax` at most. Disks keep up. */
  deliver(deliveriesMax = 2000): void {
    const { world } = this.script
    for (let delivered = 0; delivered < deliveriesMax; delivered++) {
      this.completeDisks()
      const message = world.network.shift()
      if (message === undefined) return
      this.receive(message)
    }
  }

  /** Counted where it arrives. */
  receive(message: RaftMessage): void {
    const node = this.script.world.node(message.to)
    if (message.to !== id(3) || message.kind !== 'appendEntries') {
      node.step({ kind: 'receive', message })
      return
    }
    this.messages++
    this.withEntries += message.entries.length > 0 ? 1 : 0
    this.bytes += entriesBytes(message.entries)
    node.step({ kind: 'receive', message: this.strips ? { ...message, entries: [] } : message })
  }

  completeDisks(): void {
    for (const node of this.script.world.nodes) {
      node.completeWrites(node.pendingWrites.length)
      while (node.loads.length > 0) node.completeLoad(0, 1000, false)
    }
  }

  beginCount(): void {
    this.messages = 0
    this.withEntries = 0
    this.bytes = 0
  }

  /** A heartbeat, and all that follows from it before the next. */
  heartbeat(): void {
    this.script.tick(1, this.script.world.options.heartbeatTicks)
    this.deliver()
  }

  /** Entries that node 3 lacks. */
  get lag(): number {
    return this.script.node(1).log.length - this.script.node(3).log.length
  }
}

/** The entries are in the leader's memory, or have left it. */
const CACHES = [
  { cached: 'in memory', cacheBytesMax: 1_000_000 },
  { cached: 'on disk only', cacheBytesMax: 0 },
]

test.each(CACHES)(
  'a follower that takes none of many entries $cached gets one window of them, then one entry a heartbeat',
  ({ cacheBytesMax }) => {
    const group = new Group({ cacheBytesMax })
    group.propose(200)
    group.deliver()
    expect(group.bytes).toBeLessThanOrEqual(LIMITS.inFlightBytesMax + LIMITS.messageBytesMax)
    // It finds out how things are within a heartbeat.
    group.heartbeat()
    for (let beat = 0; beat < 20; beat++) {
      group.beginCount()
      group.heartbeat()
      expect(group).toMatchObject({ messages: 2, withEntries: 1, bytes: ENTRY_BYTES + ENTRY_OVERHEAD_BYTES })
    }
  },
)

test.each(CACHES)(
  'nor does a follower that takes none get more for proposals and reads, its entries being $cached',
  ({ cacheBytesMax }) => {
    const group = new Group({ cacheBytesMax })
    group.propose(200)
    group.deliver()
    group.heartbeat()
    group.beginCount()
    for (let round = 0; round < 50; round++) {
      group.propose(3)
      group.script.world.read(group.script.node(1))
      group.deliver()
    }
    // A round of reads asks everyone, without entries.
    expect(group).toMatchObject({ messages: 50, withEntries: 0 })
  },
)

test('a single message that is not taken is not repeated in full with each heartbeat', () => {
  const group = new Group()
  group.propose(8)
  group.deliver()
  group.heartbeat()
  group.beginCount()
  for (let beat = 0; beat < 20; beat++) group.heartbeat()
  expect(group).toMatchObject({ withEntries: 20, bytes: 20 * (ENTRY_BYTES + ENTRY_OVERHEAD_BYTES) })
})

test.each(CACHES)(
  'a follower that takes entries again, $cached, has all of them within a heartbeat',
  ({ cacheBytesMax }) => {
    const group = new Group({ cacheBytesMax })
    group.propose(200)
    group.deliver()
    for (let beat = 0; beat < 5; beat++) group.heartbeat()
    expect(group.lag).toBe(200)
    group.strips = false
    group.heartbeat()
    expect(group.lag).toBe(0)
    // From here on everything is as it was before.
    group.beginCount()
    for (let i = 0; i < 5; i++) group.propose(1)
    expect(group.script.world.network.filter(({ to }) => to === id(3))).toHaveLength(5)
    group.deliver()
    expect(group.lag).toBe(0)
  },
)

test('the broken connection of a follower that takes nothing opens no window', () => {
  const group = new Group()
  group.propose(200)
  group.deliver()
  group.heartbeat()
  group.beginCount()
  group.script.node(1).step({ kind: 'unreachable', peer: id(3) })
  group.deliver()
  expect(group.messages).toBe(0)
  group.heartbeat()
  expect(group).toMatchObject({ withEntries: 1 })
})

test('a new leader learns with its first probe that a follower takes nothing', () => {
  const group = new Group()
  group.propose(200)
  group.deliver()
  group.heartbeat()
  group.script.elect(2, 1, 3)
  group.beginCount()
  group.deliver()
  // The no-op of its term, and after the refusal what may be missing.
  expect(group.withEntries).toBeLessThanOrEqual(2)
  expect(group.bytes).toBeLessThanOrEqual(LIMITS.messageBytesMax + ENTRY_OVERHEAD_BYTES)
})

/** Leader 1 with four entries of which follower 2 has the first, and a probe with the rest on its way. */
function probing(): OneNode {
  const node = new OneNode()
  node.becomeServing()
  node.propose(1, 1, 1)
  expect(appendsOf(node.refuse(id(2), 4, 1, 1), id(2))).toMatchObject([{ prevLogIndex: 1, entries: { length: 3 } }])
  return node
}

test('an earlier answer that comes while a probe is on its way holds nothing up', () => {
  const node = probing()
  expect(node.acknowledge(id(2), 1)).toEqual([])
  expect(appendsOf(node.propose(1), id(2))).toEqual([])
  // The answer to the probe itself.
  expect(appendsOf(node.acknowledge(id(2), 4), id(2))).toMatchObject([{ prevLogIndex: 4, entries: [{ index: 5 }] }])
  expect(node.raft.status().followers[0]).toMatchObject({ state: 'replicate', nextIndex: 6 })
  // Late answers of before, and a repeated one, change nothing any more.
  expect([...node.acknowledge(id(2), 1), ...node.acknowledge(id(2), 4), ...node.acknowledge(id(2), 1)]).toEqual([])
  expect(appendsOf(node.propose(1, 1), id(2))).toMatchObject([{ prevLogIndex: 5, entries: { length: 2 } }])
})

test('a probe that was lost is sent again as a whole with the answer to the next heartbeat', () => {
  const node = new OneNode(recoveredLog([1]))
  node.written(node.becomeLeader())
  node.propose(1)
  node.tick(2)
  expect(appendsOf(node.acknowledge(id(2), 1), id(2))).toMatchObject([{ prevLogIndex: 1, entries: { length: 2 } }])
  expect(node.acknowledge(id(2), 1)).toEqual([])
})

test('a second probe that was lost is made good with one entry, and then with all', () => {
  const node = probing()
  expect(appendsOf(node.tick(2), id(2))).toMatchObject([{ prevLogIndex: 1, entries: [] }])
  expect(appendsOf(node.acknowledge(id(2), 1), id(2))).toMatchObject([{ prevLogIndex: 1, entries: [{ index: 2 }] }])
  // Repeated, it does not count twice.
  expect(node.acknowledge(id(2), 1)).toEqual([])
  expect(appendsOf(node.acknowledge(id(2), 2), id(2))).toMatchObject([{ prevLogIndex: 2, entries: { length: 2 } }])
})

test('while a disk is slow, answers to heartbeats that take nothing yet do not stop the pipeline', () => {
  const node = new OneNode()
  node.becomeServing()
  node.propose(1)
  for (let i = 0; i < 5; i++) {
    node.tick(2)
    node.acknowledge(id(2), 1)
    expect(appendsOf(node.propose(1), id(2))).toMatchObject([{ entries: { length: 1 } }])
  }
  expect(node.raft.status().followers[0]!.state).toBe('replicate')
})

test('what a follower is offered from disk is one entry, asked for once, and dropped when it has it already', () => {
  const terms = [1, 1, 1, 1, 1, 1]
  const node = new OneNode(recoveredLog(terms), { messageBytesMax: 3 * ENTRY_OVERHEAD_BYTES })
  node.becomeLeader()
  node.refuse(id(2), 6, 0, 0)
  const [first] = only(node.acknowledge(id(2), 0), 'load')
  node.step({ kind: 'loaded', loadId: first!.loadId, entries: entriesOf(terms).slice(0, 3) })
  // It refused what came behind: it has to take something before more is sent ahead.
  const [whole] = only(node.refuse(id(2), 3, 0, 0), 'load')
  expect(whole).toMatchObject({ from: 1, to: 3 })
  expect(node.acknowledge(id(2), 0)).toEqual([])
  const offered = node.step({ kind: 'loaded', loadId: whole!.loadId, entries: entriesOf(terms).slice(0, 3) })
  expect(appendsOf(offered)).toMatchObject([{ prevLogIndex: 0, entries: { length: 3 } }])
  expect(only(offered, 'load')).toEqual([])
  expect(node.acknowledge(id(2), 0)).toEqual([])
  node.tick(2)
  const [single] = only(node.acknowledge(id(2), 0), 'load')
  expect(single).toMatchObject({ from: 1, to: 1, bytesMax: 1 })
  // It took the message of before after all.
  expect(node.acknowledge(id(2), 3)).toEqual([])
  const late = node.step({ kind: 'loaded', loadId: single!.loadId, entries: entriesOf([1]) })
  expect(appendsOf(late)).toEqual([])
  expect(only(late, 'load')).toMatchObject([{ from: 4, to: 6 }])
})

test('a follower that turns out to have all that is left of a compacted log is sent entries as before', () => {
  const node = probing()
  node.acknowledge(id(2), 1)
  node.written(node.propose(1))
  node.acknowledge(id(3), 5)
  // It is asked whether it has the log's beginning, which is its end as well.
  const compacted = node.step({ kind: 'compact', through: at(5) })
  expect(appendsOf(compacted, id(2))).toMatchObject([{ prevLogIndex: 5, entries: [] }])
  expect(node.acknowledge(id(2), 1)).toEqual([])
  expect(node.acknowledge(id(2), 5)).toEqual([])
  expect([...node.propose(1), ...node.propose(1)].filter((effect) => effect.kind === 'send')).toHaveLength(4)
})

test('whatever is reordered and repeated while entries are declined, little more is sent, and two heartbeats bring it all', () => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = new Prng(seed)
    const group = new Group({ cacheBytesMax: random.pick([0, 1_000_000]) })
    const { world } = group.script
    for (let i = 0; i < 150; i++) {
      group.strips = random.chance(0.7)
      if (random.chance(0.2)) group.propose(random.between(1, 15))
      if (random.chance(0.2)) group.script.tick(1, 1)
      if (random.chance(0.7)) group.completeDisks()
      const message = world.network[random.below(Math.min(5, world.network.length))]
      if (message === undefined) continue
      if (random.chance(0.8)) world.network.splice(world.network.indexOf(message), 1)
      group.receive(message)
    }
    group.strips = true
    group.deliver()
    expect(world.network, `seed ${seed} comes to an end`).toEqual([])
    group.heartbeat()
    group.heartbeat()
    group.heartbeat()
    group.beginCount()
    group.heartbeat()
    expect(group.withEntries, `seed ${seed} is paced`).toBeLessThanOrEqual(1)
    expect(group.bytes).toBeLessThanOrEqual(ENTRY_BYTES + ENTRY_OVERHEAD_BYTES)
    group.strips = false
    group.heartbeat()
    group.heartbeat()
    expect(group.lag, `seed ${seed}`).toBe(0)
  }
})
