import type { Brand, NodeId } from '../base/index.ts'

/** A Raft term (§5.1). 0 before the first election; below 2^53. */
export type Term = Brand<number, 'Term'>

/** A position in the replicated log, from 1; 0 is "before the log". Below 2^53. */
export type LogIndex = Brand<number, 'LogIndex'>

/** Numbers a write effect within one run of a node. Index alone suffers ABA: an entry can be written twice at one index. */
export type WriteId = Brand<number, 'WriteId'>

/** Names a linearizable read that the shell asked for. */
export type ReadId = Brand<number, 'ReadId'>

/** Names a request to bring entries back from disk. */
export type LoadId = Brand<number, 'LoadId'>

export const NO_INDEX = 0 as LogIndex
export const NO_TERM = 0 as Term

/** What an entry carries. `configuration` is reserved for membership changes. */
export const EntryKind = { noop: 0, command: 1, configuration: 2 } as const
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind]

export interface Entry {
  readonly term: Term
  readonly index: LogIndex
  readonly kind: EntryKind
  /** Opaque to Raft. Empty for a no-op. */
  readonly data: Uint8Array
}

/** What must be on disk before a vote or an acknowledgement leaves the node (Figure 2, "persistent state"). */
export interface HardState {
  readonly currentTerm: Term
  readonly votedFor: NodeId | undefined
}

/** Who takes part. A value, so that membership changes can replace it on apply. */
export interface Configuration {
  /** Nodes whose votes and acknowledgements count. */
  readonly voters: readonly NodeId[]
  /** Nodes that receive the log but do not count. */
  readonly learners: readonly NodeId[]
}

/** Consecutive entries of one term: all that Raft must remember of entries whose bytes stay on disk. */
export interface TermRun {
  readonly term: Term
  readonly firstIndex: LogIndex
}

// ---------------------------------------------------------------- messages

interface FromTo {
  readonly from: NodeId
  readonly to: NodeId
  readonly term: Term
}

/** RequestVote (§5.2) or, with `preVote`, the question whether it would succeed (Ongaro's thesis §9.6). A pre-vote carries the term it WOULD campaign in. */
export interface RequestVote extends FromTo {
  readonly kind: 'requestVote'
  readonly preVote: boolean
  readonly lastLogIndex: LogIndex
  readonly lastLogTerm: Term
}

export interface RequestVoteResponse extends FromTo {
  readonly kind: 'requestVoteResponse'
  readonly preVote: boolean
  readonly voteGranted: boolean
}

/** AppendEntries (§5.3); without entries it is a heartbeat, a probe or a commit notice. */
export interface AppendEntries extends FromTo {
  readonly kind: 'appendEntries'
  readonly prevLogIndex: LogIndex
  readonly prevLogTerm: Term
  readonly entries: readonly Entry[]
  readonly leaderCommit: LogIndex
  /** The leader's latest round of leadership confirmation (ReadIndex, thesis §6.4); echoed by the response. */
  readonly readRound: number
}

export interface AppendEntriesResponse extends FromTo {
  readonly kind: 'appendEntriesResponse'
  readonly success: boolean
  /** On success: the highest index known to equal the leader's log AND to be durable here. On refusal: the refused prevLogIndex. */
  readonly matchIndex: LogIndex
  /** On refusal: where the leader may try next, by conflict-term backtracking (§5.3, end; etcd-io/raft "reject hint"). */
  readonly hintIndex: LogIndex
  readonly hintTerm: Term
  readonly readRound: number
}

export type RaftMessage = RequestVote | RequestVoteResponse | AppendEntries | AppendEntriesResponse

// ------------------------------------------------------------------ events

export type RaftEvent =
  /** One tick of the shell's clock went by. */
  | { readonly kind: 'tick' }
  | { readonly kind: 'receive'; readonly message: RaftMessage }
  /** Append these commands (leader only); all or none are taken. */
  | { readonly kind: 'propose'; readonly proposals: readonly Uint8Array[] }
  /** Ask for an index at which a linearizable read may be served. */
  | { readonly kind: 'read'; readonly readId: ReadId }
  /**
   * A write effect is durable, and so are all earlier ones: writes complete in order, so after a group commit the last
   * of its writes is enough. `term` is the effect's own.
   */
  | { readonly kind: 'written'; readonly writeId: WriteId; readonly term: Term }
  /** The entries that a `load` effect asked for (at least the first; possibly fewer than asked). */
  | { readonly kind: 'loaded'; readonly loadId: LoadId; readonly entries: readonly Entry[] }
  /** The transport cannot reach this peer now: stop pipelining to it, probe instead. */
  | { readonly kind: 'unreachable'; readonly peer: NodeId }

// ----------------------------------------------------------------- effects

/**
 * What the shell must do, in the order given. Effects are plain values: reading this union tells all that Raft can ask for.
 */
export type RaftEffect =
  | WriteEffect
  /** Send now; nothing needs to be durable first. */
  | { readonly kind: 'send'; readonly message: RaftMessage }
  /** Apply these committed entries, in order. Each index comes exactly once a run. */
  | { readonly kind: 'apply'; readonly entries: readonly Entry[] }
  /** Bring `from`..`to` (inclusive) back from disk and answer with `loaded`. The shell may stop early after `bytesMax`. */
  | {
      readonly kind: 'load'
      readonly loadId: LoadId
      readonly from: LogIndex
      readonly to: LogIndex
      readonly bytesMax: number
    }
  /** The proposals of this `propose` were appended at firstIndex… in `term`. They commit, or are lost with the leadership. */
  | { readonly kind: 'proposed'; readonly firstIndex: LogIndex; readonly term: Term; readonly count: number }
  | { readonly kind: 'proposalRefused'; readonly reason: ProposalRefusal; readonly leader: NodeId | undefined }
  /** Serve the read once `index` is applied. */
  | { readonly kind: 'readReady'; readonly readId: ReadId; readonly index: LogIndex }
  | {
      readonly kind: 'readRefused'
      readonly readId: ReadId
      readonly reason: 'notLeader' | 'leadershipLost'
      readonly leader: NodeId | undefined
    }
  /** Role, term or known leader changed. */
  | { readonly kind: 'roleChanged'; readonly role: Role; readonly term: Term; readonly leader: NodeId | undefined }
  /** This leader's own no-op is committed and handed to `apply` before this effect: from here on it may decide and answer. */
  | { readonly kind: 'serving'; readonly term: Term }

/**
 * Write to the durable log, then (and only then) send `unlocks` and answer with `written`.
 * Naming the messages here is why "send before durable" can't be written down.
 */
export interface WriteEffect {
  readonly kind: 'write'
  readonly writeId: WriteId
  readonly term: Term
  /** To be written before the entries, when it changed. */
  readonly hardState: HardState | undefined
  /** Consecutive. An index at or below the last written one replaces it and all behind it (§5.3). */
  readonly entries: readonly Entry[]
  readonly unlocks: readonly RaftMessage[]
}

/** `backPressure`: too many uncommitted bytes, try again soon. */
export type ProposalRefusal = 'notLeader' | 'backPressure'

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader'

// ----------------------------------------------------------- configuration

/** How a Raft node behaves. Times are in ticks of the shell's clock. */
export interface RaftOptions {
  readonly nodeId: NodeId
  readonly configuration: Configuration
  /** A fresh timeout is drawn from [electionTimeoutTicks, 2 × electionTimeoutTicks) at each role change and election (§5.2). */
  readonly electionTimeoutTicks: number
  readonly heartbeatTicks: number
  /** Seeds the election timeouts; different on each node. */
  readonly seed: number
  /** AppendEntries sent to one follower and not yet answered, at most. */
  readonly inFlightMessagesMax: number
  readonly inFlightBytesMax: number
  /** Entry bytes (`entryBytes`: data and a fixed overhead) in one AppendEntries, at most; one larger entry still goes alone. */
  readonly messageBytesMax: number
  /** A `propose` that would bring the uncommitted entry bytes of this leader's term above this is refused; any size is taken when there are none. */
  readonly uncommittedBytesMax: number
  /** Entry bytes kept in memory for replication; older ones are loaded from disk. Unstable or unapplied entries are kept regardless. */
  readonly cacheBytesMax: number
}

/** What the durable log held at start-up. Entries themselves stay on disk until they are needed. */
export interface RecoveredState {
  readonly hardState: HardState
  /** The log begins after this entry: 0/0 until snapshots exist. */
  readonly baseIndex: LogIndex
  readonly baseTerm: Term
  /** Runs of equal terms from baseIndex + 1 on, ascending. */
  readonly termRuns: readonly TermRun[]
  readonly lastIndex: LogIndex
  /** What the state machine has applied already: equals baseIndex until snapshots exist. */
  readonly lastApplied: LogIndex
}

/** A view for status pages and tests. */
export interface RaftStatus {
  readonly nodeId: NodeId
  readonly role: Role
  readonly currentTerm: Term
  readonly votedFor: NodeId | undefined
  readonly leader: NodeId | undefined
  readonly commitIndex: LogIndex
  readonly lastApplied: LogIndex
  readonly lastIndex: LogIndex
  /** The highest index durable on this node. */
  readonly durableIndex: LogIndex
  /** True when this node is leader and its own term's no-op is committed. */
  readonly serving: boolean
  readonly uncommittedBytes: number
  /** Only on the leader. */
  readonly followers: readonly {
    readonly nodeId: NodeId
    readonly matchIndex: LogIndex
    readonly nextIndex: LogIndex
    readonly state: 'probe' | 'replicate' | 'loading'
    readonly recentlyActive: boolean
  }[]
}
