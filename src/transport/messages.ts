import type { BranchId, ClusterId, NodeId, Txid } from '../base/index.ts'
import type { RaftMessage } from '../raft/index.ts'
import type { BranchRecord, Decision, Knowledge, Outcome, Vote } from '../txn/index.ts'

/** Wire versions. A newer minor is accepted, another major is refused with a clear error. */
export const PROTOCOL_MAJOR = 1
export const PROTOCOL_MINOR = 2

/** Who is at the other end. `kv`: an application that looks for a key-value participant, and not for a coordinator. */
export type PeerRole = 'peer' | 'client' | 'participant' | 'kv'

/** The first frame of the side that dialled. */
export interface Hello {
  readonly kind: 'hello'
  readonly protocolMajor: number
  readonly protocolMinor: number
  readonly role: PeerRole
  /** Undefined: a client that will learn it from the welcome. */
  readonly clusterId: ClusterId | undefined
  /** Who dials: only for role `peer`. */
  readonly node: NodeIdentity | undefined
  /** A name for logs and limits, for example the application's. For role `kv`: the participant that is looked for. */
  readonly name: string
}

/** A coordinator's identity: its number, and the directory that holds its promises. */
export interface NodeIdentity {
  readonly nodeId: NodeId
  /** Made when the data directory was initialised: tells an empty or foreign directory under a known id. */
  readonly storeId: string
  /** The last log index durable in that directory: tells an older copy of it. */
  readonly durableIndex: number
  /** The process that speaks for it now. Not known of releases before 1.1. */
  readonly run?: NodeRun
}

/** One run of a coordinator's process. */
export interface NodeRun {
  /** Drawn at random at the start of the process: tells two processes apart that run on copies of one directory. */
  readonly incarnation: number
  /** It lost a part of its log or its votes, knows it, and counts for nothing until it has caught up. */
  readonly doubtful: boolean
}

/** The answer of the side that listens, when it accepts. */
export interface Welcome {
  readonly kind: 'welcome'
  readonly protocolMajor: number
  readonly protocolMinor: number
  readonly clusterId: ClusterId
  readonly node: NodeIdentity
  readonly leader: LeaderHint | undefined
}

/** The answer when it does not; the connection closes after it. */
export interface Rejected {
  readonly kind: 'rejected'
  /** A stable code, for example `WRONG_CLUSTER`. */
  readonly code: string
  readonly message: string
}

/** Where the leader is, as far as the sender knows. */
export interface LeaderHint {
  readonly nodeId: NodeId
  /** `host:port` for clients. */
  readonly address: string
}

/** Names a request on its connection; the reply carries it back. */
export type RequestId = number

/** Waits that one report names, at most: of more the oldest transactions are told. Also blockers of one wait. */
export const WAITS_MAX = 1_000

/** A transaction that waits for a lock, with all branches that its application works in. */
export interface WaitingTransaction {
  readonly txid: Txid
  /** It can only abort any more, and its sessions stay with it until its statements have ended: they may be ended. */
  readonly isDying: boolean
  readonly branches: readonly WaitingBranch[]
}

export interface WaitingBranch {
  readonly branch: BranchId
  /** The database's or participant's name. */
  readonly participant: string
  /** The database's own number of the session; empty where it goes by txid, or nobody knows it. */
  readonly session: string
  /** Which statement has waited for long, the first being 1; 0: none. */
  readonly statement: number
}

/** One wait in a key-value participant. */
export interface TransactionWait {
  readonly txid: Txid
  /** Names this wait, and no other one of this participant. */
  readonly wait: number
  /** Who holds what it waits for, or asked for it before. */
  readonly blockers: readonly Txid[]
}

export type ClientMessage =
  /**
   * Decide this transaction. Branches with a vote were prepared by the client (unsolicited vote); the others get PREPARE.
   * Repeating it with the same txid and branches gives the same answer, at any coordinator.
   */
  | {
      readonly kind: 'commit'
      readonly requestId: RequestId
      readonly clusterId: ClusterId
      readonly txid: Txid
      readonly timeoutMs: number
      readonly branches: readonly BranchRecord[]
    }
  /** Decide abort, durably, and tell the branches. */
  | {
      readonly kind: 'abort'
      readonly requestId: RequestId
      readonly clusterId: ClusterId
      readonly txid: Txid
      readonly participant: string | undefined
      readonly branches: readonly BranchRecord[]
    }
  /** These branches carried out the decision. One-way. */
  | { readonly kind: 'ack'; readonly txid: Txid; readonly branches: readonly BranchId[] }
  /** What became of this transaction? With `settle`, an unknown one becomes aborted, durably, before the answer (P5); without, nothing changes. */
  | {
      readonly kind: 'inquire'
      readonly requestId: RequestId
      readonly clusterId: ClusterId
      readonly txid: Txid
      readonly settle: boolean
    }
  /** Operators' requests: method and JSON. */
  | { readonly kind: 'admin'; readonly requestId: RequestId; readonly method: string; readonly json: string }
  /** A participant's vote (service and KV branches). */
  | {
      readonly kind: 'vote'
      readonly txid: Txid
      readonly branch: BranchId
      readonly vote: Vote
      readonly evidence: string | undefined
    }
  /** To a key-value participant: what it holds is src/kv's own matter. */
  | { readonly kind: 'kvCall'; readonly requestId: RequestId; readonly payload: Uint8Array }
  /** All transactions of this application that wait for a lock now, in place of those told before. One-way. */
  | { readonly kind: 'waiting'; readonly transactions: readonly WaitingTransaction[] }
  /** All waits in this key-value participant now, in place of those told before. One-way. */
  | { readonly kind: 'lockWaits'; readonly waits: readonly TransactionWait[] }

export type ServerMessage =
  /** The answer to commit, abort and inquire. */
  | { readonly kind: 'outcome'; readonly requestId: RequestId; readonly txid: Txid; readonly outcome: Knowledge }
  /** The request was refused; it had no effect, unless `code` is OUTCOME_PENDING (it may still take effect: ask again). */
  | {
      readonly kind: 'refused'
      readonly requestId: RequestId
      readonly code: string
      readonly message: string
      readonly retryable: boolean
      readonly leader: LeaderHint | undefined
    }
  | { readonly kind: 'adminResult'; readonly requestId: RequestId; readonly json: string }
  /** Pushed to every client when the leader changes. */
  | { readonly kind: 'leader'; readonly leader: LeaderHint | undefined }
  /** PREPARE to a participant. */
  | {
      readonly kind: 'prepare'
      readonly txid: Txid
      readonly branch: BranchId
      readonly participant: string
      readonly timeoutMs: number
    }
  /** GLOBAL-COMMIT or GLOBAL-ABORT to a participant. */
  | { readonly kind: 'decision'; readonly txid: Txid; readonly branch: BranchId; readonly decision: Decision }
  /** A key-value participant's answer to kvCall. */
  | { readonly kind: 'kvAnswer'; readonly requestId: RequestId; readonly payload: Uint8Array }
  /** The transaction waits in a circle, and is the one to abort, if that statement still waits. */
  | {
      readonly kind: 'deadlock'
      readonly txid: Txid
      readonly branch: BranchId
      readonly statement: number
      /** The circle, for people. */
      readonly circle: string
    }

/** Application heartbeats: Node shows no error for a stopped or half-open peer, so silence closes the connection. */
export type HeartbeatMessage =
  | { readonly kind: 'ping'; readonly nonce: number }
  | { readonly kind: 'pong'; readonly nonce: number }

export type HandshakeMessage = Hello | Welcome | Rejected

/** Everything that can travel in one frame. */
export type Message = HandshakeMessage | HeartbeatMessage | RaftMessage | ClientMessage | ServerMessage

/** Re-exported for users of the protocol. */
export type { Outcome }
