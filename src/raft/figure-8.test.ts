import { expect, test } from 'vitest'
import { Script } from './testing/script.ts'
import type { RaftMessage } from './types.ts'

/** One entry a message, as in the figure; each leader's first entry is its no-op. */
function untilC(): Script {
  const script = new Script(5, { messageBytesMax: 1 })
  // The log that all share at the beginning: index 1 of term 1.
  script.elect(1, 2, 3, 4, 5)
  script.deliver()
  // (a) S1 leads and partially replicates the entry at index 2.
  script.crash(1)
  script.node(1).start()
  script.elect(1, 2, 3)
  script.deliverAmong(1, 2)
  expect([1, 2, 3, 4, 5].map((node) => script.terms(node))).toEqual([[1, 2], [1, 2], [1], [1], [1]])
  // (b) S1 crashes; S5 is elected for term 3 with votes from S3, S4 and itself, and accepts another entry at index 2.
  script.crash(1)
  script.elect(5, 3, 4)
  script.drop()
  expect(script.terms(5)).toEqual([1, 3])
  // (c) S5 crashes; S1 restarts, is elected, and continues replication: the entry of term 2 reaches S3, and with it a
  // majority, but it is not committed.
  script.crash(5)
  script.node(1).start()
  script.elect(1, 2, 3, 4)
  return script
}

const isBetween = (a: number, b: number) => (message: RaftMessage) =>
  (message.from === a && message.to === b) || (message.from === b && message.to === a)

const isNew = (message: RaftMessage) =>
  message.kind === 'appendEntries' && message.entries.some((entry) => entry.index === 3)

/** From (c): S3 learns index 2, but not the entry of term 4 at index 3. */
function replicateIndexTwo(script: Script): void {
  // S3 refuses the probe at index 2, is sent index 2, and acknowledges it.
  script.deliver((message) => isBetween(1, 3)(message) && !(isNew(message) && script.terms(3).length > 1))
}

test('Raft Figure 8 (a)-(d): an entry of an earlier term is not committed by its replicas, and may be overwritten', () => {
  const script = untilC()
  replicateIndexTwo(script)
  expect([1, 2, 3, 4].map((node) => script.terms(node))).toEqual([[1, 2, 4], [1, 2], [1, 2], [1]])
  // S2 acknowledges index 2 to the new leader as well: three of five hold it now, durably.
  script.world.network = script.world.network.filter((message) => !isNew(message))
  script.tick(1, 2)
  script.deliver((message) => isBetween(1, 2)(message) && !isNew(message))
  const { currentTerm, commitIndex, durableIndex, followers } = script.node(1).raft!.status()
  expect(followers.map((follower) => Number(follower.matchIndex))).toEqual([2, 2, 0, 0])
  expect([currentTerm, commitIndex, durableIndex]).toEqual([4, 0, 3])
  // (d) S1 crashes; S5 is elected with votes from S2, S3 and S4 and overwrites index 2 with its own entry of term 3.
  script.crash(1)
  script.node(5).start()
  script.elect(5, 2, 3, 4)
  script.deliverAmong(2, 3, 4, 5)
  expect([2, 3, 4, 5].map((node) => script.terms(node).slice(0, 2))).toEqual(Array(4).fill([1, 3]))
})

test("Raft Figure 8 (e): once an entry of the leader's own term is on a majority, the earlier ones are committed with it", () => {
  const script = untilC()
  script.deliverAmong(1, 2, 3)
  expect([1, 2, 3].map((node) => script.terms(node))).toEqual(Array(3).fill([1, 2, 4]))
  expect(script.node(1).raft!.status().commitIndex).toBe(3)
  // S5 can't win any more: a majority has logs that are more up to date.
  script.crash(1)
  script.node(5).start()
  script.elect(5, 2, 3, 4)
  expect(script.node(5).raft!.status().role).not.toBe('leader')
})
