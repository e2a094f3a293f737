import { assert, type NodeId } from '../../base/index.ts'
import { decodeConfiguration } from '../configuration-codec.ts'
import { hasQuorum } from '../quorum.ts'
import {
  type Configuration,
  type Entry,
  EntryKind,
  type LogIndex,
  type RaftMessage,
  type RaftStatus,
  type ReadId,
  type Term,
  type WriteEffect,
} from '../types.ts'
import type { ModelSnapshot } from './model-disk.ts'
import type { WorldNode } from './world.ts'

/**
 * What must hold in the whole group, whatever happens (Figure 3), judged from outside: from the effects alone and from
 * what is on the disks, never from what a node believes.
 */
export class Checks {
  readonly #leaders = new Map<Term, NodeId>()
  /** Who voted for whom, for ever: a crash does not free a voter from its promise. */
  readonly #votes = new Map<string, NodeId>()
  /** Each entry that ever was, by index and term, with the term before it: equal pairs have equal pasts. */
  readonly #entries = new Map<string, { readonly entry: Entry; readonly previousTerm: number }>()
  /** What the group agreed on, by index. */
  readonly committed: Entry[] = []
  /** The term of the node that first applied it, which is the term in which it was committed, or a later one. */
  readonly #committedIn: number[] = []
  readonly #readFloors = new Map<ReadId, number>()
  /** Things that happened, so that a test can prove that they did. */
  readonly marks = new Map<string, number>()

  /** The newest that anybody applied. */
  configuration: Configuration

  constructor(configuration: Configuration) {
    this.configuration = configuration
  }

  mark(name: string): void {
    this.marks.set(name, (this.marks.get(name) ?? 0) + 1)
  }

  /** Election Safety: at most one leader in a term. Leader Completeness: it holds all that was committed before. */
  onLeader(node: WorldNode, term: Term): void {
    const known = this.#leaders.get(term)
    assert(known === undefined || known === node.id, 'Election Safety: two leaders in one term')
    this.#leaders.set(term, node.id)
    // A candidate whose votes were long on their way may win an old term, after entries of later terms were committed.
    const before = this.#committedIn.findLastIndex((committedIn) => committedIn < term)
    // The log before this entry holds the same, by Log Matching.
    if (before >= 0) {
      assert(sameEntry(node.log[before], this.committed[before]), 'Leader Completeness: a committed entry is missing')
    }
    this.mark('leader')
  }

  /** Log Matching, by induction: equal index and term mean an equal entry and an equal term before it. */
  onWrite(node: WorldNode, write: WriteEffect): void {
    const first = write.entries[0]
    let previousTerm = first === undefined || first.index === 1 ? 0 : node.log[first.index - 2]!.term
    for (const entry of write.entries) {
      const key = `${entry.index}:${entry.term}`
      const known = this.#entries.get(key)
      if (known === undefined) this.#entries.set(key, { entry, previousTerm })
      else assert(sameEntry(known.entry, entry) && known.previousTerm === previousTerm, 'Log Matching is broken')
      previousTerm = entry.term
    }
  }

  /** A message leaves the node: what it promises must be on disk at this moment. */
  onSend(node: WorldNode, message: RaftMessage): void {
    assert(message.from === node.id, 'a node sends in its own name')
    const { hardState, entries } = node.disk
    if (message.kind === 'requestVote' && !message.preVote) this.#onVote(node, message.term, node.id)
    if (message.kind === 'requestVoteResponse' && !message.preVote && message.voteGranted) {
      this.#onVote(node, message.term, message.to)
    }
    if (message.kind !== 'appendEntriesResponse' || !message.success) return
    // Once a later term is on disk, its leader may have replaced what this answer is about.
    if (hardState.currentTerm > message.term || message.matchIndex === 0) return
    const known = node.disk.snapshot?.state[message.matchIndex - 1] ?? entries[message.matchIndex - 1]
    assert(known !== undefined, 'an acknowledged entry is not on disk')
    if (node.world.leaderOf(message.term) !== undefined) {
      const theirs = node.world.leaderOf(message.term)!.log[message.matchIndex - 1]
      assert(theirs !== undefined && sameEntry(theirs, known), "an acknowledged entry differs from the leader's")
    }
  }

  /** State Machine Safety: no two nodes ever apply different entries at one index, and each index comes once. */
  onApply(node: WorldNode, entry: Entry): void {
    assert(entry.index === node.appliedCount + 1, 'entries are applied in order, each once')
    const known = this.committed[entry.index - 1]
    if (known === undefined) {
      this.committed.push(entry)
      if (entry.kind === EntryKind.configuration) this.configuration = decodeConfiguration(entry.data).configuration
      this.#committedIn.push(node.raft!.status().currentTerm)
    } else assert(sameEntry(known, entry), 'State Machine Safety: two nodes applied different entries')
  }

  /** A node starts from its disk: what its hard state calls committed is there, and is what was committed. */
  onRecovered({ disk }: WorldNode): void {
    const { commitIndex } = disk.hardState
    if (commitIndex === 0) return
    const entry = disk.entries[commitIndex - 1]
    assert(entry !== undefined, 'a hard state calls committed what is not on disk')
    const known = this.committed[commitIndex - 1]
    if (known !== undefined) assert(sameEntry(known, entry), 'a hard state calls committed what is not')
    this.mark('commitIndexRecovered')
  }

  /** A snapshot is what the group agreed on, up to where it says. */
  onRestore(node: WorldNode, { position, state }: ModelSnapshot): void {
    assert(position.index > node.appliedCount, 'a state machine never goes back')
    assert(state.length === position.index && state.at(-1)!.term === position.term, 'a snapshot is where it says')
    assert(sameEntry(state.at(-1), this.committed[position.index - 1]), 'State Machine Safety: a snapshot differs')
  }

  onRead(readId: ReadId, groupCommitIndex: number): void {
    this.#readFloors.set(readId, groupCommitIndex)
  }

  /** Linearizability: a read sees all that anybody knew to be committed when it was asked. Each is answered once. */
  onReadAnswered(readId: ReadId, index: LogIndex | undefined): void {
    const floor = this.#readFloors.get(readId)
    assert(floor !== undefined, 'a read is answered once, and only if it was asked')
    this.#readFloors.delete(readId)
    if (index === undefined) return
    assert(index >= floor, 'a read would miss what was committed before it')
    this.mark('readReady')
  }

  /** Reads that a crash left without an answer. */
  forgetReads(readIds: Iterable<ReadId>): void {
    for (const readId of readIds) this.#readFloors.delete(readId)
  }

  get unansweredReads(): number {
    return this.#readFloors.size
  }

  /** A node lost its vote, and is in doubt for that. What it may do with its next vote is Election Safety's to judge. */
  forgetVotes(node: NodeId): void {
    for (const key of this.#votes.keys()) if (key.endsWith(`:${node}`)) this.#votes.delete(key)
  }

  /** After each step: what this node says of itself, and that committed entries can't get lost. */
  afterStep(node: WorldNode, was: RaftStatus, nodes: readonly WorldNode[]): void {
    const { raft, log, disk } = node
    if (raft !== undefined) {
      raft.validate()
      const status = raft.status()
      assert(status.commitIndex >= node.commitIndex, 'commitIndex never falls in a run')
      assert(status.lastIndex === log.length, 'all entries of the log were given to the disk')
      assert(status.lastApplied === node.appliedCount, 'lastApplied counts what was handed to apply')
      const { durableIndex } = status
      if (durableIndex > 0 && !node.snapshots.isAhead && !this.#isCovered(node, durableIndex))
        assert(sameEntry(disk.entries[durableIndex - 1], log[durableIndex - 1]), 'durableIndex lies')
      if (status.commitIndex > node.commitIndex) this.#onCommit(node, was, status, nodes)
      node.commitIndex = status.commitIndex
    }
    const last = this.committed.at(-1)
    if (last !== undefined) this.#assertSafe(last, nodes)
  }

  /** A durable snapshot counts, whether the entries were written or not. */
  #isCovered({ disk }: WorldNode, index: number): boolean {
    return index <= (disk.snapshot?.position.index ?? 0)
  }

  #onCommit(node: WorldNode, was: RaftStatus, is: RaftStatus, nodes: readonly WorldNode[]): void {
    const { commitIndex } = is
    const entry = node.log[commitIndex - 1]
    assert(entry !== undefined, 'only entries of the log are committed')
    if (was.role === 'leader' && was.currentTerm === is.currentTerm) {
      assert(entry.term === was.currentTerm, '§5.4.2: a leader counted replicas of an earlier term')
      // A configuration that came in force in this very step may have decided already.
      const isDurable = [was.configuration, is.configuration].some((each) => this.#isOnQuorum(each, entry, nodes))
      assert(isDurable, 'a committed entry is not on a quorum of the disks')
    }
    const known = this.committed[commitIndex - 1]
    if (known !== undefined)
      assert(sameEntry(known, entry), 'State Machine Safety: two nodes committed different entries')
  }

  /** Of nodes in doubt, it is not known what they had acknowledged before. */
  #isOnQuorum(configuration: Configuration, entry: Entry, nodes: readonly WorldNode[]): boolean {
    return hasQuorum(configuration, (voter) => {
      const node = nodes.find(({ id }) => id === voter)
      return node !== undefined && (node.disk.isDoubtful || holds(node, entry))
    })
  }

  /** The last committed entry is out of danger: no quorum of those that lack it can elect a leader. */
  #assertSafe(entry: Entry, nodes: readonly WorldNode[]): void {
    const isWithout = (voter: NodeId) => {
      const node = nodes.find(({ id }) => id === voter)
      return node === undefined || !(node.disk.isDoubtful || holds(node, entry))
    }
    assert(!hasQuorum(this.configuration, isWithout), 'a quorum lacks a committed entry')
  }

  #onVote(node: WorldNode, term: Term, candidate: NodeId): void {
    const { hardState } = node.disk
    assert(hardState.currentTerm >= term, 'a vote left before its term was on disk')
    if (hardState.currentTerm === term) assert(hardState.votedFor === candidate, 'a vote left before it was on disk')
    const key = `${term}:${node.id}`
    const known = this.#votes.get(key)
    assert(known === undefined || known === candidate, 'a node voted twice in one term')
    this.#votes.set(key, candidate)
  }
}

function holds({ disk }: WorldNode, entry: Entry): boolean {
  const covering = disk.snapshot?.state[entry.index - 1]
  return sameEntry(disk.entries[entry.index - 1], entry) || sameEntry(covering, entry)
}

/** The same entry, byte for byte; the simulated data are never copied. */
function sameEntry(a: Entry | undefined, b: Entry | undefined): boolean {
  return a !== undefined && b !== undefined && a.index === b.index && a.term === b.term && a.data === b.data
}
