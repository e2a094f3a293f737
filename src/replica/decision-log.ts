import type { NodeId } from '../base/index.ts'
import type { RaftStatus } from '../raft/index.ts'

/**
 * The `DecisionLog` seam: a totally ordered, durable log that all coordinators apply alike.
 * Our own Raft implements it; a group of one (in memory of its process, on its disk) is the embedded form.
 * One contract suite is run by every implementation.
 */
export interface DecisionLog {
  /** Starts; from here on `handler` is called. Calls are synchronous, in log order, and never overlap. */
  start(handler: DecisionLogHandler): Promise<void>

  /**
   * Appends `payload`. `accepted` means: it will be applied, or it is lost with this leadership (`handler.following` tells
   * that moment; a lost one may still turn up later under another leader, so a lost proposal is unknown, not failed).
   * The log keeps the array: don't change it afterwards.
   *
   * @throws ProposalTooLargeError when no frame and no record could carry it
   */
  propose(payload: Uint8Array, options?: ProposeOptions): ProposeResult

  /**
   * Resolves when everything committed before this call has been applied here: a linearizable read (Raft thesis §6.4).
   *
   * Any member answers: a follower asks the leader. The reads of a turn share one round.
   *
   * @throws NotLeaderError when no leader is known, or it stops being the leader before a majority confirmed it
   */
  readBarrier(): Promise<void>

  status(): DecisionLogStatus

  /** Stops taking proposals, closes files and connections. */
  close(): Promise<void>
}

export interface ProposeOptions {
  /** Concerns a transaction that is known already (its decision, its end): may use the room reserved on the disk. */
  readonly reserve?: boolean
}

export interface DecisionLogHandler {
  /** A committed payload. Must not throw: a state machine that can't apply must stop the process. */
  apply(payload: Uint8Array, index: number): void
  /** This node leads, and everything committed before its term is applied: it may decide and answer. */
  leading(term: number): void
  /** This node does not lead (any more), or the known leader changed. */
  following(leader: NodeId | undefined): void
  /** Freezes the state as of the last applied entry, in less than a tick; applying goes on meanwhile. */
  freeze(): FrozenState
  /** Begins to replace the state by one that `freeze` gave, here or on another node. */
  restore(): StateRestore
}

/** The state machine at one index, encoded piece by piece. What is applied later does not change it. */
export interface FrozenState {
  /** The next piece, at most 64 KiB or one item that is larger; undefined behind the last. */
  next(): Uint8Array | undefined
  /** Frees what the copy holds; also after the last piece. */
  close(): void
}

/** A state being read back. Nothing of it shows before `finish`. */
export interface StateRestore {
  /** Takes the next bytes; cut as it pleases the caller. @throws CodecError for bytes that `freeze` did not give */
  add(bytes: Uint8Array): void
  /** Puts the restored state in place of the present one, at once. @throws CodecError when something is missing */
  finish(): void
}

export type ProposeResult =
  | { readonly kind: 'accepted' }
  /** `backPressure`: too much is under way, try again soon. `diskFull`: only the reserved room for decisions is left. */
  | {
      readonly kind: 'refused'
      readonly reason: 'notLeader' | 'backPressure' | 'diskFull'
      readonly leader: NodeId | undefined
    }

/** The newest snapshot of a node. */
export interface SnapshotStatus {
  /** The last entry that it covers. */
  readonly index: number
  readonly term: number
  /** Of the file. */
  readonly bytes: number
  /** By the wall clocks of whoever took it and of this node. */
  readonly ageMs: number
}

export interface DecisionLogStatus {
  readonly raft: RaftStatus
  readonly storeId: string
  readonly bytesOnDisk: number
  readonly spaceLow: boolean
  /** This node was removed from the group: it takes part in nothing any more. */
  readonly removed?: boolean
  /** The newest snapshot; undefined as long as there is none. */
  readonly snapshot?: SnapshotStatus | undefined
  /** Peers and whether a connection to each is up. */
  readonly peers: readonly { readonly nodeId: NodeId; readonly address: string; readonly connected: boolean }[]
}
