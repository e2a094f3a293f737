import { expect, test } from 'vitest'
import { ENTRY_OVERHEAD_BYTES } from './positions.ts'
import {
  append,
  appendsOf,
  appliedOf,
  at,
  entriesOf,
  id,
  OneNode,
  only,
  recoveredLog,
  sentOf,
  term,
  unlocksOf,
  writesOf,
} from './testing/one-node.ts'
import { Script } from './testing/script.ts'

/** Follower 1 of leader 2 in `currentTerm`, with these terms on disk. */
function follower(terms: readonly number[], currentTerm: number): OneNode {
  return new OneNode(recoveredLog(terms, { currentTerm: term(currentTerm) }))
}

test('Raft §5.3: the leader appends a command and sends it to all others in the same step, before its own disk is done', () => {
  const node = new OneNode()
  node.becomeServing()
  const effects = node.propose(5, 6)
  expect(only(effects, 'proposed')).toEqual([{ kind: 'proposed', firstIndex: 2, term: 1, count: 2 }])
  expect(writesOf(effects)[0]!.entries).toHaveLength(2)
  expect(appendsOf(effects).map((message) => [Number(message.to), message.entries.length])).toEqual([
    [2, 2],
    [3, 2],
  ])
})

test('Raft §5.3: an entry is committed once a majority has it durably, the leader counting only its own disk', () => {
  const node = new OneNode()
  node.becomeServing()
  const proposed = node.propose(1)
  node.acknowledge(id(2), 2)
  expect(node.raft.status().commitIndex).toBe(1)
  expect(appliedOf(node.written(proposed))).toEqual([2])
})

test("Raft §5.3: two followers commit an entry that is not on the leader's own disk yet", () => {
  const node = new OneNode()
  node.becomeServing()
  node.propose(1)
  node.acknowledge(id(2), 2)
  expect(appliedOf(node.acknowledge(id(3), 2))).toEqual([2])
  expect(node.raft.status().durableIndex).toBe(1)
})

test('Raft §5.3: committing an entry commits all before it, and they are applied in order', () => {
  const node = new OneNode()
  node.becomeServing()
  node.written(node.propose(1, 1, 1))
  expect(appliedOf(node.acknowledge(id(3), 4))).toEqual([2, 3, 4])
})

test('Raft §5.3: followers learn the commit index from later AppendEntries, heartbeats included, and apply', () => {
  const node = follower([], 1)
  node.receive(append({ entries: entriesOf([1, 1]) }))
  const effects = node.receive(append({ prevLogIndex: at(2), prevLogTerm: term(1), leaderCommit: at(2) }))
  expect(appliedOf(effects)).toEqual([1, 2])
})

test('Raft §5.3: the consistency check refuses entries whose predecessor is missing or of another term', () => {
  const node = follower([1, 1], 2)
  const missing = node.receive(append({ term: term(2), prevLogIndex: at(5), prevLogTerm: term(2) }))
  expect(sentOf(missing)).toMatchObject([{ success: false, matchIndex: 5, hintIndex: 2, hintTerm: 1 }])
  const other = node.receive(
    append({ term: term(2), prevLogIndex: at(2), prevLogTerm: term(2), entries: entriesOf([2], 3) }),
  )
  expect(sentOf(other)).toMatchObject([{ success: false }])
  expect(node.raft.status().lastIndex).toBe(2)
})

test('Raft §5.3: a conflicting entry and all that follow it are replaced', () => {
  const node = follower([1, 2, 2, 2], 3)
  const effects = node.receive(
    append({ term: term(3), prevLogIndex: at(1), prevLogTerm: term(1), entries: entriesOf([3], 2) }),
  )
  expect(node.raft.status().lastIndex).toBe(2)
  expect(writesOf(effects)[0]!.entries).toMatchObject([{ index: 2, term: 3 }])
})

test('Raft §5.3: a delayed message whose entries are all there cuts nothing and writes nothing', () => {
  const node = follower([], 1)
  node.written(node.receive(append({ entries: entriesOf([1, 1, 1]) })))
  const late = node.receive(append({ entries: entriesOf([1]) }))
  expect(node.raft.status().lastIndex).toBe(3)
  expect(writesOf(late)).toEqual([])
  expect(sentOf(late)).toMatchObject([{ success: true, matchIndex: 3 }])
})

test('Raft §5.3: only the part of a message that is not there yet is written', () => {
  const node = follower([1], 1)
  const effects = node.receive(append({ entries: entriesOf([1, 1, 1]) }))
  expect(writesOf(effects)[0]!.entries.map((entry) => Number(entry.index))).toEqual([2, 3])
})

test('Raft §5.3: a leader never overwrites or deletes entries of its own log', () => {
  const script = new Script(3)
  script.elect(1, 2, 3)
  script.deliver()
  const before = [...script.node(1).log]
  script.elect(2, 3)
  script.node(2).step({ kind: 'propose', proposals: [new Uint8Array(1)] })
  script.deliver()
  expect(script.node(1).log.slice(0, before.length)).toEqual(before)
})

test('Raft §5.3: a new leader brings every follower of Figure 7 to its own log', () => {
  const leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
  const followers = [
    [1, 1, 1, 4, 4, 5, 5, 6, 6],
    [1, 1, 1, 4],
    [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    [1, 1, 1, 4, 4, 4, 4],
    [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
  ]
  for (const terms of followers) {
    const node = new OneNode(recoveredLog(leader, { currentTerm: term(7) }), { cacheBytesMax: 0 })
    const other = new OneNode(recoveredLog(terms, { currentTerm: term(7) }), { nodeId: id(2) })
    const rounds = catchUp(node, other, leader)
    expect(other.raft.status().lastIndex).toBe(11)
    // One round for each term that only one side has, at most, and one to find the end.
    expect(rounds).toBeLessThanOrEqual(4)
  }
})

/** Elects `node` and passes messages to `other` and back until it has caught up; counts the refusals. */
function catchUp(node: OneNode, other: OneNode, terms: readonly number[]): number {
  let refusals = 0
  let effects = node.becomeLeader()
  node.written(effects)
  for (let round = 0; round < 30; round++) {
    const loads = only(effects, 'load')
    const answers = loads.flatMap(({ loadId, from, to }) => {
      const entries = entriesOf(terms).slice(from - 1, to)
      return node.step({ kind: 'loaded', loadId, entries })
    })
    const replies = appendsOf([...effects, ...answers], id(2)).flatMap((message) => {
      const received = other.receive(message)
      if (writesOf(received).length > 0) other.written(received)
      return [...sentOf(received), ...unlocksOf(received)]
    })
    refusals += replies.filter((reply) => reply.kind === 'appendEntriesResponse' && !reply.success).length
    if (replies.length === 0) break
    effects = replies.flatMap((reply) => node.receive(reply))
  }
  return refusals
}

test('Raft §5.3, end: backtracking takes one round for each conflicting term, not for each entry', () => {
  // 3000 entries of three terms that the leader does not have, against 3000 of one that the follower does not have.
  const mine = [...Array<number>(10).fill(1), ...Array<number>(3000).fill(5)]
  const theirs = [...Array<number>(10).fill(1), ...[2, 3, 4].flatMap((value) => Array<number>(1000).fill(value))]
  const node = new OneNode(recoveredLog(mine, { currentTerm: term(5) }), { cacheBytesMax: 0 })
  const other = new OneNode(recoveredLog(theirs, { currentTerm: term(5) }), { nodeId: id(2) })
  expect(catchUp(node, other, mine)).toBeLessThanOrEqual(4)
  expect(other.raft.status().lastIndex).toBe(3011)
})

test('Figure 2, AppendEntries, rule 5: leaderCommit counts only up to the last entry of the message', () => {
  const node = follower([1, 2, 2], 3)
  node.receive(append({ term: term(3), prevLogIndex: at(1), prevLogTerm: term(1), leaderCommit: at(3) }))
  expect(node.raft.status().commitIndex).toBe(1)
})

test('a follower acknowledges entries only behind the write that holds them', () => {
  const node = follower([], 1)
  const effects = node.receive(append({ entries: entriesOf([1, 1]) }))
  expect(sentOf(effects)).toEqual([])
  expect(unlocksOf(effects)).toMatchObject([{ success: true, matchIndex: 2 }])
  // A heartbeat meanwhile is answered at once, but promises nothing.
  const beat = node.receive(append({ prevLogIndex: at(2), prevLogTerm: term(1) }))
  expect(sentOf(beat)).toMatchObject([{ success: true, matchIndex: 0 }])
})

test('entries that a new leader finds already there, but not yet durable, are acknowledged when they are', () => {
  const node = follower([], 1)
  const first = node.receive(append({ entries: entriesOf([1, 1]) }))
  const second = node.receive(append({ from: id(3), term: term(2), entries: entriesOf([1, 1]) }))
  expect(unlocksOf(second)).toMatchObject([{ to: 3, matchIndex: 0 }])
  expect(sentOf(node.written(first))).toMatchObject([{ to: 3, term: 2, success: true, matchIndex: 2 }])
})

test('ABA: the completion of a write whose entries were replaced at the same index proves nothing', () => {
  const node = follower([], 1)
  const first = node.receive(append({ entries: entriesOf([1, 1, 1]) }))
  const second = node.receive(append({ from: id(3), term: term(2), entries: entriesOf([2, 2, 2]) }))
  node.written(first)
  expect(node.raft.status()).toMatchObject({ durableIndex: 0, lastIndex: 3 })
  node.written(second)
  expect(node.raft.status().durableIndex).toBe(3)
})

test('a completion with another term than its write, or one that comes twice, changes nothing', () => {
  const node = follower([], 1)
  const effects = node.receive(append({ entries: entriesOf([1]) }))
  const { writeId } = writesOf(effects)[0]!
  expect(node.step({ kind: 'written', writeId, term: term(9) })).toEqual([])
  expect(node.raft.status().durableIndex).toBe(0)
  node.written(effects)
  expect(node.step({ kind: 'written', writeId, term: term(1) })).toEqual([])
  expect(node.raft.status().durableIndex).toBe(1)
})

test('the completion of a write speaks for all earlier ones', () => {
  const node = follower([], 1)
  node.receive(append({ entries: entriesOf([1]) }))
  const last = node.receive(append({ prevLogIndex: at(1), prevLogTerm: term(1), entries: entriesOf([1], 2) }))
  node.written(last)
  expect(node.raft.status().durableIndex).toBe(2)
})

test('messages are pipelined without waiting, up to the limit by count, and go on with each acknowledgement', () => {
  const node = new OneNode(undefined, { inFlightMessagesMax: 3 })
  node.becomeServing()
  const sent = Array.from({ length: 5 }, () => appendsOf(node.propose(1), id(2)).length)
  expect(sent).toEqual([1, 1, 1, 0, 0])
  // What waited goes out in one message.
  expect(appendsOf(node.acknowledge(id(2), 2), id(2)).map((message) => message.entries.length)).toEqual([2])
})

test('the limit by bytes stops the pipeline, and a single larger entry still goes', () => {
  const node = new OneNode(undefined, { inFlightBytesMax: 1000 })
  node.becomeServing()
  expect(appendsOf(node.propose(5000), id(2))).toHaveLength(1)
  expect(appendsOf(node.propose(1), id(2))).toHaveLength(0)
  expect(appendsOf(node.acknowledge(id(2), 2), id(2))).toHaveLength(1)
})

test('entries are split into messages of bounded size', () => {
  const node = new OneNode(undefined, { messageBytesMax: 2 * (10 + ENTRY_OVERHEAD_BYTES) })
  node.becomeServing()
  const messages = appendsOf(node.propose(10, 10, 10, 10, 500), id(2))
  expect(messages.map((message) => message.entries.length)).toEqual([2, 2, 1])
})

test('a lost message is noticed by the next heartbeat and sent again', () => {
  const node = new OneNode()
  node.becomeServing()
  node.propose(1)
  const beat = appendsOf(node.tick(2), id(2)).at(-1)!
  expect(beat).toMatchObject({ prevLogIndex: 2, entries: [] })
  const again = appendsOf(node.refuse(id(2), 2, 1, 1), id(2))
  expect(again).toMatchObject([{ prevLogIndex: 1, entries: [{ index: 2 }] }])
  expect(node.raft.status().followers[0]).toMatchObject({ state: 'probe', nextIndex: 2 })
})

test('a probe is sent once, and answers to earlier probes do not repeat it', () => {
  const node = new OneNode(recoveredLog([1, 1, 1, 1]))
  node.written(node.becomeLeader())
  expect(appendsOf(node.propose(1), id(2))).toEqual([])
  expect(appendsOf(node.refuse(id(2), 4, 2, 1), id(2))).toMatchObject([{ prevLogIndex: 2 }])
  expect(node.refuse(id(2), 4, 2, 1)).toEqual([])
})

test('a refusal that an acknowledgement overtook is ignored', () => {
  const node = new OneNode()
  node.becomeServing()
  node.propose(1)
  node.acknowledge(id(2), 2)
  expect(node.refuse(id(2), 2, 1, 1)).toEqual([])
  expect(node.raft.status().followers[0]!.state).toBe('replicate')
})

test('an unreachable peer is probed from its last acknowledgement at the next heartbeat', () => {
  const node = new OneNode()
  node.becomeServing()
  node.propose(1)
  expect(node.step({ kind: 'unreachable', peer: id(2) })).toEqual([])
  expect(node.raft.status().followers[0]).toMatchObject({ state: 'probe', nextIndex: 2 })
  expect(appendsOf(node.tick(2), id(2))).toMatchObject([{ prevLogIndex: 1, entries: [] }])
  expect(appendsOf(node.acknowledge(id(2), 1), id(2))).toMatchObject([{ entries: [{ index: 2 }] }])
})

test('a new commit index waits for the next entries, or goes by itself at the next tick', () => {
  const node = new OneNode()
  node.becomeServing()
  node.written(node.propose(1))
  expect(appendsOf(node.acknowledge(id(2), 2))).toEqual([])
  // Follower 3 still has entries in flight: its next message will tell it.
  expect(appendsOf(node.tick())).toMatchObject([{ to: 2, entries: [], leaderCommit: 2 }])
  node.acknowledge(id(3), 2)
  expect(appendsOf(node.propose(1))).toMatchObject([
    { to: 2, entries: [{ index: 3 }], leaderCommit: 2 },
    { to: 3, entries: [{ index: 3 }], leaderCommit: 2 },
  ])
})

test('proposals are refused by who does not lead, with the name of the leader', () => {
  const node = follower([], 1)
  node.receive(append({}))
  expect(node.propose(1)).toEqual([{ kind: 'proposalRefused', reason: 'notLeader', leader: 2 }])
})

test('proposals are refused beyond the limit of uncommitted bytes, all or none, and taken again after a commit', () => {
  const node = new OneNode(undefined, { uncommittedBytesMax: 300 })
  node.becomeServing()
  // Any size is taken when nothing waits.
  const first = node.propose(1000)
  expect(only(first, 'proposed')).toHaveLength(1)
  expect(node.propose(0, 0)).toEqual([{ kind: 'proposalRefused', reason: 'backPressure', leader: 1 }])
  expect(node.raft.status().lastIndex).toBe(2)
  node.written(first)
  node.acknowledge(id(2), 2)
  expect(node.raft.status().uncommittedBytes).toBe(0)
  expect(only(node.propose(1), 'proposed')).toHaveLength(1)
})

test('entries that left the memory are loaded for a follower, one load at a time, and only once it agreed', () => {
  const terms = [1, 1, 1, 1, 1, 1]
  const node = new OneNode(recoveredLog(terms), { messageBytesMax: 3 * ENTRY_OVERHEAD_BYTES })
  node.becomeLeader()
  expect(only(node.refuse(id(2), 6, 0, 0), 'load')).toEqual([])
  const [load] = only(node.acknowledge(id(2), 0), 'load')
  expect(load).toMatchObject({ from: 1, to: 3 })
  expect(node.raft.status().followers[0]!.state).toBe('loading')
  const effects = node.step({ kind: 'loaded', loadId: load!.loadId, entries: entriesOf(terms).slice(0, 2) })
  expect(appendsOf(effects)).toMatchObject([{ prevLogIndex: 0, entries: [{ index: 1 }, { index: 2 }] }])
  expect(only(effects, 'load')).toMatchObject([{ from: 3, to: 5 }])
})

test('a load that comes back after the leadership was lost, or after the follower moved on, is dropped', () => {
  const node = new OneNode(recoveredLog([1, 1, 1]))
  node.becomeLeader()
  node.refuse(id(2), 3, 0, 0)
  const [load] = only(node.acknowledge(id(2), 0), 'load')
  const loaded = { kind: 'loaded', loadId: load!.loadId, entries: entriesOf([1, 1, 1]) } as const
  node.step({ kind: 'unreachable', peer: id(2) })
  expect(node.step(loaded)).toEqual([])
  const [next] = only(node.acknowledge(id(2), 0), 'load')
  // Another leader replaces what was being loaded.
  node.receive(append({ from: id(3), term: term(9), entries: entriesOf([8]) }))
  expect(node.step({ ...loaded, loadId: next!.loadId })).toEqual([])
})

test('bytes from disk that contradict the terms in memory stop the node', () => {
  const node = new OneNode(recoveredLog([1, 1, 1]))
  node.becomeLeader()
  node.refuse(id(2), 3, 0, 0)
  const [load] = only(node.acknowledge(id(2), 0), 'load')
  expect(() => node.step({ kind: 'loaded', loadId: load!.loadId, entries: entriesOf([2]) })).toThrow(
    /the disk returned/,
  )
})

test('after a restart, committed entries are loaded in bounded batches and applied in order, each once', () => {
  const node = follower([1, 1, 1], 1)
  const heard = node.receive(
    append({ prevLogIndex: at(3), prevLogTerm: term(1), entries: entriesOf([1], 4), leaderCommit: at(4) }),
  )
  expect(only(heard, 'load')).toMatchObject([{ from: 1, to: 3, bytesMax: 1024 * 1024 }])
  const first = node.step({ kind: 'loaded', loadId: only(heard, 'load')[0]!.loadId, entries: entriesOf([1, 1]) })
  expect(appliedOf(first)).toEqual([1, 2])
  const [load] = only(first, 'load')
  expect(load).toMatchObject({ from: 3, to: 3 })
  expect(appliedOf(node.step({ kind: 'loaded', loadId: load!.loadId, entries: entriesOf([1], 3) }))).toEqual([3, 4])
})

test('Raft §5.4.2: a leader commits an old entry only through one of its own term', () => {
  const node = new OneNode(recoveredLog([1, 1]))
  const won = node.becomeLeader()
  expect(node.raft.status().commitIndex).toBe(0)
  node.acknowledge(id(2), 2)
  node.acknowledge(id(3), 2)
  expect(node.raft.status().commitIndex).toBe(0)
  node.written(won)
  node.acknowledge(id(2), 3)
  expect(node.raft.status().commitIndex).toBe(3)
})

test('a deposed leader keeps its uncommitted entries until another leader replaces them', () => {
  const node = new OneNode()
  node.becomeServing()
  node.propose(1, 1)
  node.receive(append({ from: id(2), term: term(2) }))
  expect(node.raft.status()).toMatchObject({ role: 'follower', lastIndex: 3, uncommittedBytes: 0 })
})
