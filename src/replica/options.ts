import type { Clock, ClusterId, NodeId } from '../base/index.ts'
import type {
  Configuration,
  Raft,
  RaftEffect,
  RaftMessage,
  RaftOptions,
  ReadKey,
  RecoveredState,
} from '../raft/index.ts'
import type { Network, TlsOptions } from '../transport/index.ts'
import type { Disk } from '../wal/index.ts'
import { randomName } from './randomness.ts'

/** A coordinator of the fleet and where its peers reach it. */
export interface Member {
  readonly nodeId: NodeId
  readonly host: string
  readonly port: number
}

/** Timing and limits. Each has a default that suits a LAN. */
export interface ReplicaTuning {
  /** The leader's heartbeat. Default 50. */
  readonly heartbeatMs: number
  /** A follower campaigns after a silence of once to twice this time. Default 300. */
  readonly electionTimeoutMs: number
  /** AppendEntries under way to one follower, at most. Default 64. */
  readonly inFlightMessagesMax: number
  /** Their bytes, at most. Default 4 MiB. */
  readonly inFlightBytesMax: number
  /** Entry bytes in one AppendEntries. Default 512 KiB. */
  readonly messageBytesMax: number
  /** Uncommitted bytes beyond which proposals are refused with `backPressure`. Default 16 MiB. */
  readonly uncommittedBytesMax: number
  /** Bytes of entries kept in memory for followers that lag. Default 16 MiB. */
  readonly cacheBytesMax: number
  /** Size of one file of the log. Default: the log's own. */
  readonly segmentBytesMax: number | undefined
  /** A snapshot is taken when entries of so many bytes were applied since the last one. Default 64 MiB. */
  readonly snapshotBytes: number
  /** Or so many entries, whatever their size. Default 250,000. */
  readonly snapshotEntries: number
  /** Log that is kept behind a snapshot for followers that are slow or restart: at most so many bytes. Default 16 MiB. */
  readonly tailBytes: number
  /** And at most so many entries. Default 50,000. */
  readonly tailEntries: number
  /** Bytes in one message of a snapshot. Four of them are under way to a follower at most. Default 256 KiB. */
  readonly snapshotChunkBytes: number
}

/** The part of a logger (for example pino) that the replica uses. */
export interface ReplicaLogger {
  debug(details: object, message: string): void
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}

/** How a replica is opened. */
export interface ReplicaOptions {
  readonly nodeId: NodeId
  readonly clusterId: ClusterId
  /**
   * What a new group begins with, this node included. Once a node has a log of its own, that says who the members are.
   * A group of one needs no network.
   */
  readonly members: readonly Member[]
  /** This node, if its directory is new, waits to be added to a group that is there already; `members` are its contacts. */
  readonly join?: boolean | undefined
  /** Where the log lies. Made if it is missing. */
  readonly directory: string
  readonly disk: Disk
  /** Needed as soon as there are other members. */
  readonly network?: Network | undefined
  /** For dialling the other members. */
  readonly tls?: TlsOptions | undefined
  readonly clock: Clock
  /** Seeds election timeouts and back-off. The node id is mixed in, so all nodes may get the same. */
  readonly seed: number
  readonly options?: Partial<ReplicaTuning> | undefined
  readonly logger: ReplicaLogger
  /**
   * The node can't go on: its disk failed, its directory is not the one it is known by, or an invariant broke.
   * Called once; nothing is acknowledged after it. End the process, or at least `close()`.
   */
  readonly onFatal: (error: Error) => void
  /** Runs a task at the end of this turn of the event loop. Default setImmediate; the simulator has its own. */
  readonly later?: ((task: () => void) => void) | undefined
  /** Fills with random bytes, for what no other run may share: the id of a new directory, the name of this run. Default: the machine's. */
  readonly randomFill?: ((bytes: Uint8Array) => void) | undefined
  /** Speaks an older minor version of the protocol than this release could: for tests of mixed fleets. */
  readonly protocolMinor?: number | undefined
  /** Sees what the core does, from outside: the simulator's checks. */
  readonly tap?: RaftTap | undefined
}

/** Somebody who looks on. It is called synchronously and must change nothing. */
export interface RaftTap {
  /** A run begins with what was on disk. */
  opened(raft: Raft, recovered: RecoveredState): void
  /** The core was stepped; `effects` are about to be carried out, in this order. */
  stepped(effects: readonly RaftEffect[]): void
  /** This message leaves now: all that it promises is on disk. */
  sent(message: RaftMessage): void
}

const MIB = 1024 * 1024

const DEFAULT_TUNING: ReplicaTuning = {
  heartbeatMs: 50,
  electionTimeoutMs: 300,
  inFlightMessagesMax: 64,
  inFlightBytesMax: 4 * MIB,
  messageBytesMax: MIB / 2,
  uncommittedBytesMax: 16 * MIB,
  cacheBytesMax: 16 * MIB,
  segmentBytesMax: undefined,
  snapshotBytes: 64 * MIB,
  snapshotEntries: 250_000,
  tailBytes: 16 * MIB,
  tailEntries: 50_000,
  snapshotChunkBytes: MIB / 4,
}

/** A payload's size, at most: an AppendEntries with it alone stays below the largest frame (4 MiB). */
export const PAYLOAD_BYTES_MAX = 3 * MIB

/** Ticks in a heartbeat: election timeouts differ by at least this fraction of one. */
const TICKS_PER_HEARTBEAT = 5

/** `tuning` with defaults for what it leaves out. */
export function completeTuning(tuning: Partial<ReplicaTuning> = {}): ReplicaTuning {
  return { ...DEFAULT_TUNING, ...tuning }
}

/** The length of Raft's tick. */
export function tickMsOf(tuning: ReplicaTuning): number {
  return tuning.heartbeatMs / TICKS_PER_HEARTBEAT
}

/** The shortest silence, in ticks, after which a follower campaigns. */
export function electionTimeoutTicksOf(tuning: ReplicaTuning): number {
  return Math.max(TICKS_PER_HEARTBEAT + 1, Math.round(tuning.electionTimeoutMs / tickMsOf(tuning)))
}

/** What the core is constructed with. */
export function raftOptionsOf(
  options: ReplicaOptions,
  tuning: ReplicaTuning,
  configuration: Configuration,
): RaftOptions {
  const { nodeId, seed } = options
  return {
    nodeId,
    configuration,
    electionTimeoutTicks: electionTimeoutTicksOf(tuning),
    heartbeatTicks: TICKS_PER_HEARTBEAT,
    seed: seed + nodeId * 0x9e3779b1,
    firstReadKey: randomName(options) as ReadKey,
    inFlightMessagesMax: tuning.inFlightMessagesMax,
    inFlightBytesMax: tuning.inFlightBytesMax,
    messageBytesMax: tuning.messageBytesMax,
    uncommittedBytesMax: tuning.uncommittedBytesMax,
    cacheBytesMax: tuning.cacheBytesMax,
  }
}
