import { expect, test } from 'vitest'
import { appendsOf, at, id, OneNode, only, snapshotAt, snapshotResponse } from './testing/one-node.ts'

/** A leader whose log begins after entry 3 of 4, and whose follower 3 has nothing: the effects of its refusal. */
function needy(): { node: OneNode; effects: ReturnType<OneNode['step']> } {
  const node = new OneNode()
  node.becomeServing()
  // Node 3 lost its disk, or was slow from the beginning: it is probed from where the others are.
  for (let i = 0; i < 3; i++) node.written(node.propose(1))
  node.acknowledge(id(2), 4)
  node.step({ kind: 'unreachable', peer: id(3) })
  node.step({ kind: 'compact', through: at(3) })
  return { node, effects: node.refuse(id(3), 3, 1, 1) }
}

const asked = { kind: 'sendSnapshot', to: 3, term: 1 }

test('Raft §7: a follower that lacks what is compacted gets a snapshot, asked for once', () => {
  const { node, effects } = needy()
  expect(only(effects, 'sendSnapshot')).toEqual([asked])
  expect(only([...node.refuse(id(3), 3, 1, 1), ...node.propose(1), ...node.tick(5)], 'sendSnapshot')).toEqual([])
  expect(node.raft.status().followers[1]).toMatchObject({ state: 'snapshot', matchIndex: 1 })
})

test('while a snapshot is sent no entries are; heartbeats ask for the beginning of the log', () => {
  const { node } = needy()
  const sent = appendsOf([...node.propose(1), ...node.tick(2)], id(3))
  expect(sent).toMatchObject([{ prevLogIndex: 3, entries: [] }])
  node.acknowledge(id(2), 5)
  expect(appendsOf(node.tick(1), id(3))).toEqual([])
})

test('the refusal of such a heartbeat keeps the follower active and echoes reads, and changes nothing else', () => {
  const { node } = needy()
  node.read(1)
  const effects = node.refuse(id(3), 3, 1, 1, 1)
  expect(only(effects, 'readReady')).toHaveLength(1)
  expect(node.raft.status().followers[1]).toMatchObject({ state: 'snapshot', recentlyActive: true, nextIndex: 2 })
})

test('a follower that has the beginning of the log after all gets entries from there', () => {
  const { node } = needy()
  const effects = node.acknowledge(id(3), 3)
  expect(appendsOf(effects, id(3))).toMatchObject([{ prevLogIndex: 3, entries: [{ index: 4 }] }])
  expect(node.raft.status().followers[1]).toMatchObject({ state: 'replicate', matchIndex: 3 })
})

test('a late acknowledgement of less than the beginning of the log ends nothing', () => {
  const { node } = needy()
  expect(only(node.acknowledge(id(3), 2), 'sendSnapshot')).toEqual([])
  expect(node.raft.status().followers[1]).toMatchObject({ state: 'snapshot', matchIndex: 2, nextIndex: 3 })
})

test('an installed snapshot counts as what it covers, and entries follow', () => {
  const { node } = needy()
  node.written(node.propose(1))
  const effects = node.receive(snapshotResponse({ from: id(3), snapshot: snapshotAt(4, 1), status: 'installed' }))
  expect(only(effects, 'chunkAcknowledged')).toHaveLength(1)
  expect(appendsOf(effects, id(3))).toMatchObject([{ prevLogIndex: 4, entries: [{ index: 5 }] }])
  expect(node.raft.status().followers[1]).toMatchObject({ state: 'replicate', matchIndex: 4 })
})

test('a snapshot that was overtaken by the next compaction is followed by another', () => {
  const { node } = needy()
  node.step({ kind: 'compact', through: at(4) })
  const effects = node.receive(snapshotResponse({ from: id(3), snapshot: snapshotAt(3, 1), status: 'installed' }))
  expect(only(effects, 'sendSnapshot')).toEqual([asked])
  expect(node.raft.status().followers[1]).toMatchObject({ state: 'snapshot', matchIndex: 3 })
})

test('answers to chunks go to the shell, and keep the follower active', () => {
  const { node } = needy()
  node.tick(10)
  node.acknowledge(id(2), 4)
  const response = snapshotResponse({ from: id(3), snapshot: snapshotAt(3, 1), receivedBytes: 7 })
  expect(node.receive(response)).toEqual([{ kind: 'chunkAcknowledged', response }])
  expect(node.raft.status().followers[1]).toMatchObject({ state: 'snapshot', recentlyActive: true })
})

test('answers to chunks of an earlier term say nothing', () => {
  const { node } = needy()
  expect(node.receive(snapshotResponse({ from: id(3), term: 0 as never, status: 'installed' }))).toEqual([])
})

test.each(['snapshotFailed', 'refused'] as const)(
  'after %s the snapshot is asked for again an election timeout later',
  (how) => {
    const { node } = needy()
    const { currentTerm: term } = node.raft.status()
    if (how === 'snapshotFailed') node.step({ kind: 'snapshotFailed', to: id(3), term })
    else node.receive(snapshotResponse({ from: id(3), snapshot: snapshotAt(3, 1), status: 'refused' }))
    node.acknowledge(id(2), 4)
    expect(only([...node.tick(9), ...node.refuse(id(3), 3, 1, 1)], 'sendSnapshot')).toEqual([])
    expect(only(node.tick(1), 'sendSnapshot')).toEqual([asked])
  },
)

test('a follower that does not answer is sent no snapshot until it does', () => {
  const { node } = needy()
  const { currentTerm: term } = node.raft.status()
  const silence = () => Array.from({ length: 4 }, () => [...node.tick(8), ...node.acknowledge(id(2), 4)]).flat()
  silence()
  node.step({ kind: 'snapshotFailed', to: id(3), term })
  expect(only(silence(), 'sendSnapshot')).toEqual([])
  expect(only(node.refuse(id(3), 3, 1, 1), 'sendSnapshot')).toEqual([asked])
})

test('a failure of an earlier term changes nothing', () => {
  const { node } = needy()
  node.step({ kind: 'snapshotFailed', to: id(3), term: 0 as never })
  const ticks = Array.from({ length: 3 }, () => [...node.tick(8), ...node.acknowledge(id(2), 4)]).flat()
  expect(only([...ticks, ...node.refuse(id(3), 3, 1, 1)], 'sendSnapshot')).toEqual([])
})

test('a slow follower that needs a snapshot holds up no commit of the others', () => {
  const { node } = needy()
  node.written(node.propose(1))
  node.acknowledge(id(2), 5)
  expect(node.raft.status().commitIndex).toBe(5)
})
