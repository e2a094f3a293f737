import type { NodeId } from '../../base/index.ts'
import { simpleConfiguration } from '../configuration.ts'
import { Raft } from '../raft.ts'
import { emptyState } from '../recovered.ts'
import {
  type AppendEntries,
  type AppendEntriesResponse,
  type Entry,
  EntryKind,
  type InstallSnapshot,
  type InstallSnapshotResponse,
  type LogIndex,
  type RaftEffect,
  type RaftEvent,
  type RaftMessage,
  type RaftOptions,
  type ReadId,
  type ReadKey,
  type RecoveredState,
  type RequestVote,
  type RequestVoteResponse,
  type SnapshotPosition,
  type Term,
  type TermRun,
  type WriteEffect,
} from '../types.ts'

export const id = (value: number) => value as NodeId
export const term = (value: number) => value as Term
export const at = (value: number) => value as LogIndex
export const readId = (value: number) => value as ReadId

/** Options of node 1 of three, with limits that no test meets by accident. */
export function testOptions(overrides: Partial<RaftOptions> = {}): RaftOptions {
  return {
    nodeId: id(1),
    configuration: simpleConfiguration([id(1), id(2), id(3)]),
    electionTimeoutTicks: 10,
    heartbeatTicks: 2,
    seed: 1,
    firstReadKey: 1000 as ReadKey,
    inFlightMessagesMax: 16,
    inFlightBytesMax: 1_000_000,
    messageBytesMax: 100_000,
    uncommittedBytesMax: 1_000_000,
    cacheBytesMax: 1_000_000,
    ...overrides,
  }
}

/** A disk whose entry i has the i-th of `terms`; the hard state is of the last of them, unless given. */
export function recoveredLog(
  terms: readonly number[],
  hardState: Partial<RecoveredState['hardState']> = {},
): RecoveredState {
  const termRuns: TermRun[] = []
  for (const [position, value] of terms.entries()) {
    if (termRuns.at(-1)?.term !== value) termRuns.push({ term: term(value), firstIndex: at(position + 1) })
  }
  const currentTerm = term(terms.at(-1) ?? 0)
  return {
    ...emptyState(),
    hardState: { currentTerm, votedFor: undefined, commitIndex: at(0), ...hardState },
    termRuns,
    lastIndex: at(terms.length),
  }
}

/** The entries that `recoveredLog(terms)` has on disk. */
export function entriesOf(terms: readonly number[], firstIndex = 1, bytes = 0): Entry[] {
  return terms.map((value, position) => ({
    term: term(value),
    index: at(firstIndex + position),
    kind: EntryKind.command,
    data: new Uint8Array(bytes),
  }))
}

/** One node under test. Every step is validated. */
export class OneNode {
  readonly raft: Raft
  readonly options: RaftOptions

  constructor(recovered: RecoveredState = emptyState(), overrides: Partial<RaftOptions> = {}) {
    this.options = testOptions(overrides)
    this.raft = new Raft(this.options, recovered)
  }

  step(event: RaftEvent): RaftEffect[] {
    const effects = this.raft.step(event)
    this.raft.validate()
    return effects
  }

  receive(message: RaftMessage): RaftEffect[] {
    return this.step({ kind: 'receive', message })
  }

  tick(count = 1): RaftEffect[] {
    return Array.from({ length: count }, () => this.step({ kind: 'tick' })).flat()
  }

  propose(...sizes: number[]): RaftEffect[] {
    return this.step({ kind: 'propose', proposals: sizes.map((size) => new Uint8Array(size)) })
  }

  read(value: number): RaftEffect[] {
    return this.step({ kind: 'read', readId: readId(value) })
  }

  /** Reports the last write among `effects` as durable. */
  written(effects: readonly RaftEffect[]): RaftEffect[] {
    const write = writesOf(effects).at(-1)!
    return this.step({ kind: 'written', writeId: write.writeId, term: write.term })
  }

  /** Ticks until the election timeout ends, at most twice the shortest. */
  timeOut(): RaftEffect[] {
    const effects: RaftEffect[] = []
    for (let i = 0; i < 2 * this.options.electionTimeoutTicks; i++) {
      effects.push(...this.tick())
      if (effects.some((effect) => effect.kind === 'roleChanged')) return effects
    }
    throw new Error('no timeout within twice the shortest')
  }

  /** Times out and gets the pre-votes of nodes 2 …; the returned effects hold the write of the vote. */
  becomeCandidate(): RaftEffect[] {
    this.timeOut()
    const asked = term(this.raft.status().currentTerm + 1)
    return this.others().flatMap((from) =>
      this.receive(voteResponse({ from, term: asked, preVote: true, voteGranted: true })),
    )
  }

  /** Wins an election; the returned effects are those of the victory. Its no-op is neither durable nor committed. */
  becomeLeader(): RaftEffect[] {
    this.written(this.becomeCandidate())
    const { currentTerm } = this.raft.status()
    return this.others().flatMap((from) => this.receive(voteResponse({ from, term: currentTerm, voteGranted: true })))
  }

  /** Wins an election and commits the no-op: the leader serves, and every follower acknowledged everything. */
  becomeServing(): RaftEffect[] {
    const effects = [...this.written(this.becomeLeader())]
    for (const from of this.others()) effects.push(...this.acknowledge(from, this.raft.status().lastIndex))
    return effects
  }

  acknowledge(from: NodeId, matchIndex: number, readRound = 0): RaftEffect[] {
    const { currentTerm } = this.raft.status()
    return this.receive(
      appendResponse({ from, term: currentTerm, success: true, matchIndex: at(matchIndex), readRound }),
    )
  }

  refuse(from: NodeId, refusedIndex: number, hintIndex: number, hintTerm: number, readRound = 0): RaftEffect[] {
    const { currentTerm } = this.raft.status()
    const hint = { matchIndex: at(refusedIndex), hintIndex: at(hintIndex), hintTerm: term(hintTerm) }
    return this.receive(appendResponse({ from, term: currentTerm, success: false, ...hint, readRound }))
  }

  others(): NodeId[] {
    return this.options.configuration.voters.filter((voter) => voter !== this.options.nodeId)
  }
}

export function voteRequest(fields: Partial<RequestVote>): RequestVote {
  const position = { lastLogIndex: at(0), lastLogTerm: term(0), leadershipTransfer: false }
  return { kind: 'requestVote', from: id(2), to: id(1), term: term(1), preVote: false, ...position, ...fields }
}

export function voteResponse(fields: Partial<RequestVoteResponse>): RequestVoteResponse {
  const answer = { preVote: false, voteGranted: false, committed: undefined }
  return { kind: 'requestVoteResponse', from: id(2), to: id(1), term: term(1), ...answer, ...fields }
}

export function append(fields: Partial<AppendEntries>): AppendEntries {
  const position = { prevLogIndex: at(0), prevLogTerm: term(0), entries: [], leaderCommit: at(0), readRound: 0 }
  return { kind: 'appendEntries', from: id(2), to: id(1), term: term(1), ...position, ...fields }
}

export function appendResponse(fields: Partial<AppendEntriesResponse>): AppendEntriesResponse {
  const result = {
    success: true,
    matchIndex: at(0),
    hintIndex: at(0),
    hintTerm: term(0),
    readRound: 0,
    doubtful: false,
  }
  return { kind: 'appendEntriesResponse', from: id(2), to: id(1), term: term(1), ...result, ...fields }
}

export function snapshotAt(index: number, ofTerm: number): SnapshotPosition {
  return { index: at(index), term: term(ofTerm) }
}

/** The last chunk of the snapshot of entry 10, of term 2. */
export function chunk(fields: Partial<InstallSnapshot>): InstallSnapshot {
  const position = { snapshot: snapshotAt(10, 2), snapshotId: 7, totalBytes: 100, offset: 40 }
  const data = { data: new Uint8Array(60), checksum: 0 }
  return { kind: 'installSnapshot', from: id(2), to: id(1), term: term(1), ...position, ...data, ...fields }
}

export function snapshotResponse(fields: Partial<InstallSnapshotResponse>): InstallSnapshotResponse {
  const result = { snapshot: snapshotAt(10, 2), snapshotId: 7, receivedBytes: 0, status: 'receiving' as const }
  return { kind: 'installSnapshotResponse', from: id(2), to: id(1), term: term(1), ...result, ...fields }
}

/** Messages that leave at once. */
export function sentOf(effects: readonly RaftEffect[]): RaftMessage[] {
  return effects.flatMap((effect) => (effect.kind === 'send' ? [effect.message] : []))
}

/** AppendEntries that leave at once, to `to` or to anybody. */
export function appendsOf(effects: readonly RaftEffect[], to?: NodeId): AppendEntries[] {
  return sentOf(effects).filter(
    (message): message is AppendEntries => message.kind === 'appendEntries' && (to === undefined || message.to === to),
  )
}

export function writesOf(effects: readonly RaftEffect[]): WriteEffect[] {
  return effects.filter((effect) => effect.kind === 'write')
}

/** Messages that wait for a write. */
export function unlocksOf(effects: readonly RaftEffect[]): RaftMessage[] {
  return writesOf(effects).flatMap((write) => write.unlocks)
}

/** Effects of one kind. */
export function only<Kind extends RaftEffect['kind']>(
  effects: readonly RaftEffect[],
  kind: Kind,
): Extract<RaftEffect, { readonly kind: Kind }>[] {
  return effects.filter((effect): effect is Extract<RaftEffect, { readonly kind: Kind }> => effect.kind === kind)
}

/** The indexes handed to `apply`, in order. */
export function appliedOf(effects: readonly RaftEffect[]): number[] {
  return only(effects, 'apply').flatMap((effect) => effect.entries.map((entry) => Number(entry.index)))
}
