import type { Clock, ClusterId, NodeId, Prng } from '../../base/index.ts'
import type { ParticipantPort } from '../../coordinator/index.ts'
import type { Resource } from '../../resources/index.ts'
import type { HttpExchange, HttpPlace, ServerConfig } from '../../server/index.ts'
import type { Network } from '../../transport/index.ts'
import type { TransactionView } from '../../txn/index.ts'
import type { DiskWorld, SimDisk } from '../disk/sim-disk.ts'
import type { Process } from './process.ts'

/**
 * The simulated world as its inhabitants see it. One seed decides everything: no inhabitant may read the machine's
 * clock, its randomness or its timers (during a run they throw, see guard.ts).
 *
 * The world runs one macrotask after another: a timer, a message, a finished disk write. All microtasks of one have run
 * before the next begins, as in Node. Every macrotask belongs to one process, or to the world itself.
 */
export interface World {
  readonly seed: number
  /** True time in milliseconds since the run began. Processes have clocks of their own, which may differ from it. */
  readonly nowMs: number
  /** A stream of random numbers that depends on the seed and the name alone: drawing from one changes no other. */
  random(name: string): Prng
  /** Calls `task` once after `delayMs` of true time. It belongs to no process, so no crash takes it away. */
  after(delayMs: number, task: () => void): Cancel
  /** Starts a process; `main` runs as its first macrotask, at once in true time. A name may be used again after its death. */
  spawn(options: SpawnOptions): SimProcess
  /** The living process of this name. */
  process(name: string): SimProcess | undefined
  /** The faults of the network between hosts. */
  readonly weather: NetworkWeather
  /** Writes a line of the run's story (only when somebody reads it: give a function when the text costs something). */
  note(actor: string, what: string | (() => string)): void
  /** A rare branch was reached. */
  mark(name: string): void
  /** A promise is broken: ends the run as failed. `check` is a short stable name such as `P1` or `electionSafety`. */
  fail(check: string, what: string): void
  /** True once a check has failed: do no more work. */
  readonly failed: boolean
}

export type Cancel = () => void

export interface SpawnOptions {
  /** Unique among the living, for example `node-1`, `flights`, `app-2`. */
  readonly name: string
  /** The machine's address. Several processes may share one. */
  readonly host: string
  /** An exception or rejection out of `main` counts as a crash of the process and fails the run. */
  readonly main: (process: SimProcess) => void | Promise<void>
  /** Called when the process is gone, in the middle of whatever it did. Runs outside of every process. */
  readonly onDeath?: (death: Death) => void
  /** `rate` of 1.0001 runs fast; `wallOffsetMs` is how wrong the wall clock is at first. */
  readonly clock?: { readonly rate?: number; readonly wallOffsetMs?: number }
}

/** `exit`: it ended by itself. `killed`: kill -9, its sockets are reset. `power`: nobody hears anything of it. */
export type Death = 'exit' | 'killed' | 'power'

/**
 * One run of one process. All its seams die with it: timers do not fire, sockets are silent, promises of its disk never
 * settle. Code of a dead process may still run to its next await; it changes nothing in the world.
 */
export interface SimProcess {
  readonly name: string
  readonly host: string
  /** Counts the runs under this name from 1. */
  readonly incarnation: number
  readonly alive: boolean
  /** The machine's clock as this process sees it. */
  readonly clock: Clock
  /** Byte streams, for the production transport. */
  readonly network: Network
  /** Messages between simulated parties that have no bytes, such as databases and their drivers. */
  readonly channels: Channels
  /** For what production takes from Math.random and crypto. */
  readonly random: Prng
  /** Runs a task at the end of this turn: what setImmediate does in production. */
  readonly later: (task: () => void) => void
  /** Fills with seeded bytes: what randomFillSync does in production. */
  readonly randomFill: (bytes: Uint8Array) => void
  /** It ends by itself: open sockets are closed in an orderly way. */
  exit(): void
  /** Ends it from outside, at once. */
  kill(death: 'killed' | 'power'): void
  /** SIGSTOP: nothing runs until `resume`; what comes meanwhile waits. */
  pause(): void
  resume(): void
  /** Sets the machine's wall clock forward or back. The monotonic one never jumps. */
  jumpWall(byMs: number): void
}

// ---------------------------------------------------------------- channels

/**
 * Connections that carry values instead of bytes, in order and reliably, like a TCP connection: with latency, and subject
 * to every fault of the network and to the death of either side. A value must not be changed after it was sent.
 */
export interface Channels {
  /** Takes connections at a name; one listener a name. Ends with the process. */
  listen(address: string, onChannel: (channel: Channel) => void): void
  /** Rejects with an Error whose `code` is ECONNREFUSED when nobody listens there, or ETIMEDOUT when nobody answers. */
  connect(address: string): Promise<Channel>
}

export interface Channel {
  readonly isOpen: boolean
  /** Nothing happens when it is closed. Whether it arrives nobody knows. */
  send(value: unknown): void
  /** Set both before the turn ends. */
  onMessage: ((value: unknown) => void) | undefined
  /** Comes once: the other side closed (`undefined`), died or was cut off (an Error with code ECONNRESET). Not after our own close. */
  onClose: ((error: Error | undefined) => void) | undefined
  close(): void
}

/** What can be wrong with the network, between hosts. Both directions are apart: a one-way partition is a blocked direction. */
export interface NetworkWeather {
  /** Nothing gets from one host to the other, silently, until it is opened again. What was sent waits, as TCP retransmits. */
  block(from: string, to: string): void
  unblock(from: string, to: string): void
  /** Breaks every connection between two hosts, with an error at each end that is not blocked. */
  reset(a: string, b: string): void
  /** All directions open again, all latencies normal. */
  heal(): void
}

// ---------------------------------------------------------------- the fleet

/** The coordinators as applications and databases find them. */
export interface FleetView {
  readonly clusterId: ClusterId
  /** `host:port` of each coordinator, for `new Concordat({ coordinators })`. */
  readonly addresses: readonly string[]
  /** For checks only: what a coordinator that runs now has applied. */
  readonly coordinators: () => readonly CoordinatorView[]
}

export interface CoordinatorView {
  readonly nodeId: NodeId
  readonly leading: boolean
  /** Records of one transaction as this node's ledger knows them. */
  readonly knowledge: (txid: string) => { readonly kind: string }
  /** The same as operators see it. */
  readonly transaction: (txid: string) => TransactionView | undefined
  readonly undeliveredCount: number
  readonly openCount: number
  readonly heuristicCount: number
}

// ---------------------------------------------------------------- the workload

/** How much to do. Shrinking lowers it. */
export interface WorkloadSize {
  readonly applications: number
  /** Transactions in all, spread over the time under faults. */
  readonly transactions: number
  /** Time over which they are spread. */
  readonly durationMs: number
  /** The workload makes no trouble of its own: no server misbehaves, nobody meddles, no application ends by itself. */
  readonly calm?: boolean
  /** An administrator ends a prepared branch by hand so often, if there is one. Default: drawn. */
  readonly meddlings?: number
}

/** Databases, applications and the oracle that knows every answer given. */
export interface Workload {
  /** Resources for a coordinator's resolver: the production adapters over pools of simulated drivers that live in `process`. */
  readonly resources: (process: SimProcess) => readonly Resource<unknown>[]
  /** How a coordinator in `process` reaches participants in other processes, if there are any. */
  readonly participantPort?: (process: SimProcess) => ParticipantPort
  /** Services that coordinators call at URLs, as their configuration names them; and how they do. */
  readonly services?: ServerConfig['participants']
  readonly httpExchange?: (process: SimProcess, place: HttpPlace) => HttpExchange
  /** Processes that the fault schedule may crash, restart, pause and cut off, besides the coordinators. */
  readonly victims: readonly Victim[]
  /** Starts the databases and applications. Called once, before the coordinators start. */
  start(): void
  /** Begins no more transactions; those that run go on. Called when the faults are over. */
  stopLoad(): void
  /** What still keeps the world from being settled: open calls, prepared branches, held locks. Empty when all is settled. */
  unsettled(): readonly string[]
  /** Checks after each batch of steps; cheap. Reports by `world.fail`. */
  checkStep(): void
  /** P1–P8 and the client oracle, once all is settled. Reports by `world.fail`. */
  checkEnd(): void
  /** For the report: transactions by outcome. */
  readonly tally: () => Readonly<Record<string, number>>
}

/** A database or an application that can be hurt. */
export interface Victim {
  readonly name: string
  readonly host: string
  readonly kind: 'database' | 'application' | 'participant'
  /** Starts it anew after its death, with what it had on disk. Nothing happens while it lives. */
  restart(): void
  /** SIGTERM, for those that know it. */
  stop?(): void
  /** Its machine's disk, if faults may hurt it. */
  readonly disk?: SimDisk
}

/** A world whose machines have disks. */
export interface DiskedWorld extends World, DiskWorld {
  dispatch(process: Process, task: () => void): void
}

export type MakeWorkload = (world: DiskedWorld, fleet: FleetView, size: WorkloadSize) => Workload
