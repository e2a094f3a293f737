import type { Brand, NodeId } from '../base/index.ts'

/** A Raft term (§5.1). 0 before the first election; below 2^53. */
export type Term = Brand<number, 'Term'>

/** A position in the replicated log, from 1; 0 is "before the log". Below 2^53. */
export type LogIndex = Brand<number, 'LogIndex'>

/** Numbers a write effect within one run of a node. Index alone suffers ABA: an entry can be written twice at one index. */
export type WriteId = Brand<number, 'WriteId'>

/** Names a linearizable read that the shell asked for. */
export type ReadId = Brand<number, 'ReadId'>

/** Names a read that a follower forwards to the leader. Never used twice by a node, not even after a restart. */
export type ReadKey = Brand<number, 'ReadKey'>

/** Names a request to bring entries back from disk. */
export type LoadId = Brand<number, 'LoadId'>

export const NO_INDEX = 0 as LogIndex
export const NO_TERM = 0 as Term

/** What an entry carries. A `configuration` entry holds a whole new configuration (configuration-codec.ts). */
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
  /**
   * A lower bound of what is committed. Written along with every configuration entry, so that a restarted node has
   * applied all configurations but the newest before it campaigns: configurations are effective on apply, and a node
   * two configurations behind could win with a quorum that overlaps no other (etcd-io/raft persists it for this too).
   */
  readonly commitIndex: LogIndex
}

/** Who takes part. A value that membership changes replace when their entry is applied (as in etcd-io/raft). */
export interface Configuration {
  /** Nodes whose votes and acknowledgements count. */
  readonly voters: readonly NodeId[]
  /**
   * The voters of the configuration that is being left. While there are any, the configuration is joint: elections,
   * commits and reads need a majority of both sets (thesis §4.3).
   */
  readonly votersOutgoing: readonly NodeId[]
  /** Nodes that receive the log but do not count. */
  readonly learners: readonly NodeId[]
  /** Outgoing voters that become learners when the joint configuration is left. */
  readonly learnersNext: readonly NodeId[]
  /** Learners that were voters, lost a part of their log, and are promoted again as soon as they have caught up. */
  readonly rebuilding: readonly NodeId[]
  /** Node ids that were removed. An id is never used again: its old promises may still be under way. */
  readonly retired: readonly NodeId[]
}

/** The members that an operator wants. Up to one voter more or less is a simple change, anything else a joint one. */
export interface ConfigurationTarget {
  readonly voters: readonly NodeId[]
  readonly learners: readonly NodeId[]
}

/** The last entry that a snapshot covers. */
export interface SnapshotPosition {
  readonly index: LogIndex
  readonly term: Term
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
  /** The leader itself asked for this campaign (thesis §3.10): whoever hears it must not protect the leader. */
  readonly leadershipTransfer: boolean
}

export interface RequestVoteResponse extends FromTo {
  readonly kind: 'requestVoteResponse'
  readonly preVote: boolean
  readonly voteGranted: boolean
  /** In the refusal of a node that has no vote: the last entry that it knows to be committed (see takeWordOfCommit). */
  readonly committed: { readonly index: LogIndex; readonly term: Term } | undefined
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
  /**
   * The sender lost a part of its log or its votes. Its answers help the leader to send it what it lacks, and count
   * for nothing: neither for commits, nor for reads, nor for the check of the quorum.
   */
  readonly doubtful: boolean
}

/** Leadership transfer (thesis §3.10): the receiver campaigns at once, without pre-vote. */
export interface TimeoutNow extends FromTo {
  readonly kind: 'timeoutNow'
}

/** A follower asks its leader for an index at which linearizable reads may be served (thesis §6.4, end). */
export interface ReadIndexRequest extends FromTo {
  readonly kind: 'readIndex'
  readonly readKey: ReadKey
}

export interface ReadIndexResponse extends FromTo {
  readonly kind: 'readIndexResponse'
  readonly readKey: ReadKey
  /** False: the receiver does not lead, or stopped leading; `index` means nothing then. */
  readonly granted: boolean
  readonly index: LogIndex
}

/**
 * One chunk of a snapshot (§7, Figure 13). The shells read and write chunks; the core sees that a leader of its term
 * sends them. An empty chunk at offset 0 asks how much of this snapshot the receiver has already.
 */
export interface InstallSnapshot extends FromTo {
  readonly kind: 'installSnapshot'
  readonly snapshot: SnapshotPosition
  /** Tells snapshots of one position apart: each node takes its own. Made of the content. */
  readonly snapshotId: number
  readonly totalBytes: number
  readonly offset: number
  readonly data: Uint8Array
  /** CRC-32 of `data`. */
  readonly checksum: number
}

export interface InstallSnapshotResponse extends FromTo {
  readonly kind: 'installSnapshotResponse'
  readonly snapshot: SnapshotPosition
  readonly snapshotId: number
  /** Where the sender goes on. */
  readonly receivedBytes: number
  /** `installed`: durable and applied here, or not needed any more; everything up to `snapshot.index` matches. `refused`: start again later. */
  readonly status: 'receiving' | 'installed' | 'refused'
}

export type RaftMessage =
  | RequestVote
  | RequestVoteResponse
  | AppendEntries
  | AppendEntriesResponse
  | TimeoutNow
  | ReadIndexRequest
  | ReadIndexResponse
  | InstallSnapshot
  | InstallSnapshotResponse

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
  /**
   * The connection to this peer broke: stop pipelining to it, probe instead. When it is the leader that this node follows,
   * an election comes soon.
   */
  | { readonly kind: 'unreachable'; readonly peer: NodeId }
  /**
   * Change the members (leader only). `context` is the shell's own (addresses); it travels with the configuration.
   * `force` leaves out the checks that new voters have caught up and that something changes (the context may, alone);
   * Raft's own restrictions always hold.
   */
  | {
      readonly kind: 'changeConfiguration'
      readonly target: ConfigurationTarget
      readonly context: Uint8Array
      readonly force: boolean
    }
  /** Hand the leadership to this voter, or to the one that is furthest. */
  | { readonly kind: 'transferLeadership'; readonly to: NodeId | undefined }
  /** A snapshot that covers at least `through` is durable here: the log before it is not needed and may be forgotten. */
  | { readonly kind: 'compact'; readonly through: LogIndex }
  /** The shell could not send the snapshot that `sendSnapshot` asked for. Raft asks again later. */
  | { readonly kind: 'snapshotFailed'; readonly to: NodeId; readonly term: Term }
  /** The chunk of a `storeChunk` effect is stored (or was of no use): how far this snapshot has come. */
  | {
      readonly kind: 'chunkStored'
      readonly from: NodeId
      readonly term: Term
      readonly snapshot: SnapshotPosition
      readonly snapshotId: number
      readonly receivedBytes: number
      /** The whole snapshot is here, durable and checked, but not in force yet. */
      readonly complete: boolean
    }
  /** What `installSnapshot` asked for is done and durable: the state machine and the log begin at this snapshot. */
  | {
      readonly kind: 'snapshotInstalled'
      readonly snapshot: SnapshotPosition
      readonly configuration: Configuration
    }
  /** `installSnapshot` could not be done: nothing changed on disk. */
  | { readonly kind: 'snapshotRejected'; readonly snapshot: SnapshotPosition }
  /** What `forgetDoubt` asked for is durable. */
  | { readonly kind: 'doubtForgotten' }

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
  /**
   * An entry with a new configuration was applied: from here on it is in force. Comes in its place among `apply`, behind
   * its entry. The context is empty when the leader made the change by itself (a joint configuration left, a doubtful
   * node rebuilt, a change confirmed): then what the shell knew before still holds.
   */
  | {
      readonly kind: 'configurationChanged'
      readonly configuration: Configuration
      readonly context: Uint8Array
      readonly index: LogIndex
      /**
       * It is the one that was in force already, so a quorum of it knows that durably: the change is done. Only now may
       * nodes that it removed be switched off.
       */
      readonly confirmed: boolean
    }
  /** The change was appended at `index`. The leader itself completes a joint one, and confirms it when it is in force. */
  | { readonly kind: 'configurationProposed'; readonly index: LogIndex; readonly term: Term }
  | {
      readonly kind: 'configurationRefused'
      readonly reason: ConfigurationRefusal
      readonly leader: NodeId | undefined
      /** The nodes that the reason is about. */
      readonly nodes: readonly NodeId[]
    }
  /** The transfer can't begin (`busy`: another is under way), or did not succeed within an election timeout. */
  | { readonly kind: 'transferFailed'; readonly reason: 'notLeader' | 'busy' | 'noTarget' | 'timeout' }
  /**
   * This follower needs entries that are compacted: stream it the newest snapshot. It replaces a stream to the same
   * follower that is still under way; streams end with the leadership, and with the follower's membership.
   */
  | { readonly kind: 'sendSnapshot'; readonly to: NodeId; readonly term: Term }
  /** A follower answered a chunk: the sender may go on at `receivedBytes`. `installed` and `refused` end the stream. */
  | { readonly kind: 'chunkAcknowledged'; readonly response: InstallSnapshotResponse }
  /** Store this chunk and answer with `chunkStored`. */
  | { readonly kind: 'storeChunk'; readonly message: InstallSnapshot }
  /**
   * Put the complete snapshot in force: durably begin the log at it (the log before it is discarded as a whole; where it
   * had the snapshot's last entry, nothing is installed), replace the state machine, then answer with
   * `snapshotInstalled`. Writes asked for earlier come before it; entries handed to `apply` earlier are part of it.
   */
  | { readonly kind: 'installSnapshot'; readonly snapshot: SnapshotPosition; readonly snapshotId: number }
  /** This node's log is whole again: durably forget that it was in doubt, then answer with `doubtForgotten`. */
  | { readonly kind: 'forgetDoubt' }
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

/** `backPressure`: too many uncommitted bytes, try again soon. `transferring`: the leadership is being handed over. */
export type ProposalRefusal = 'notLeader' | 'backPressure' | 'transferring'

/** Why members can't be changed now. */
export type ConfigurationRefusal =
  | 'notLeader'
  /** The leader's no-op is not applied yet: an earlier leader's change might be uncommitted (Ongaro's mail of 2015). */
  | 'notServing'
  /** Another change is not applied or not confirmed yet, or a joint configuration is not left yet. */
  | 'changePending'
  | 'transferring'
  /** The target names a node twice, or no voter. */
  | 'malformed'
  /** The target names an id that was removed before. */
  | 'retired'
  /** A new voter must be a learner first, and have caught up. */
  | 'notCaughtUp'
  /** The target is what is in force. */
  | 'unchanged'

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
  /**
   * Keys of forwarded reads count up from here. Random in each run of a node: an answer to a read of an earlier run,
   * still on its way, must never be taken for the answer to one of this run.
   */
  readonly firstReadKey: ReadKey
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
  /** The log begins after this entry; 0/0 when it was never compacted. Never behind `lastApplied`. Its term may be higher than
   * that of the hard state, after a crash between a snapshot and the log's own write. */
  readonly baseIndex: LogIndex
  readonly baseTerm: Term
  /** Runs of equal terms from baseIndex + 1 on, ascending. */
  readonly termRuns: readonly TermRun[]
  readonly lastIndex: LogIndex
  /** What the state machine has applied already: the index of the snapshot that it was restored from, or 0. */
  readonly lastApplied: LogIndex
  /**
   * A part of the log, or the vote, was lost to damage: this node neither votes nor counts until it was made a learner,
   * has caught up and is a voter again.
   */
  readonly doubtful: boolean
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
  /** The log begins after this entry. */
  readonly baseIndex: LogIndex
  readonly configuration: Configuration
  /** Only on the leader: a change is not applied or not confirmed, or a joint configuration not left: no other is taken. */
  readonly changePending: boolean
  readonly doubtful: boolean
  readonly transferTarget: NodeId | undefined
  /** Only on the leader. */
  readonly followers: readonly {
    readonly nodeId: NodeId
    readonly matchIndex: LogIndex
    readonly nextIndex: LogIndex
    readonly state: 'probe' | 'replicate' | 'loading' | 'snapshot'
    readonly recentlyActive: boolean
    readonly doubtful: boolean
  }[]
}
