import { randomFillSync } from 'node:crypto'
import { type Clock, systemClock } from '../base/index.ts'
import type { CoordinatorOptions, ParticipantPort } from '../coordinator/index.ts'
import type { RaftTap, ReplicaTuning } from '../replica/index.ts'
import type { Resource } from '../resources/index.ts'
import { type Network, type TlsOptions, tcpNetwork } from '../transport/index.ts'
import { type Disk, nodeDisk } from '../wal/index.ts'
import { openResources } from './open-resources.ts'
import type { HttpExchange, HttpPlace } from './services/http-exchange.ts'

/**
 * What a coordinator takes from the machine that it runs on. Production leaves all of it out; the simulator gives its
 * own, and then nothing else decides what happens.
 */
export interface ServerSeams {
  readonly clock: Clock
  readonly disk: Disk
  /** For peers and clients. A network that is given here also answers for who can reach it: the rule about TLS is off. */
  readonly network: Network
  /** Fills with random bytes: store ids, seeds, names of incarnations. */
  readonly randomFill: (bytes: Uint8Array) => void
  /** Runs a task at the end of this turn of the event loop. */
  readonly later: (task: () => void) => void
  /** The databases, ready to be used, instead of those that the configuration names. The server closes them. */
  readonly resources: readonly Resource<unknown>[]
  /** For status pages. */
  readonly residentBytes: () => number
  /** Timing and limits of the log that the configuration file has no key for. */
  readonly tuning: Partial<ReplicaTuning>
  /** The same of the coordinator. */
  readonly coordination: Partial<CoordinatorOptions>
  /** How participants in other processes are reached, instead of over the connections that they open. */
  readonly participants: ParticipantPort | undefined
  /** How services are called at their URLs. Default: `node:http`. */
  readonly httpExchange: ((place: HttpPlace) => HttpExchange) | undefined
  /** Looks on while the log's core works. */
  readonly tap: RaftTap | undefined
  /** Speaks an older minor version of the protocol: for fleets in the middle of an upgrade. */
  readonly protocolMinor: number | undefined
}

/** The seams of one server, complete. */
export interface ChosenSeams extends Omit<ServerSeams, 'resources'> {
  readonly openResources: typeof openResources
  /** The network is the machine's: whoever reaches the port reaches us. */
  readonly isExposed: boolean
}

/** `given`, and the machine's own for what it leaves out. */
export function chooseSeams(given: Partial<ServerSeams>, tls: TlsOptions | undefined): ChosenSeams {
  const { resources } = given
  return {
    clock: given.clock ?? systemClock,
    disk: given.disk ?? nodeDisk,
    network: given.network ?? tcpNetwork(tls),
    randomFill: given.randomFill ?? randomFillSync,
    later: given.later ?? setImmediate,
    residentBytes: given.residentBytes ?? process.memoryUsage.rss,
    tuning: given.tuning ?? {},
    coordination: given.coordination ?? {},
    participants: given.participants,
    httpExchange: given.httpExchange,
    tap: given.tap,
    protocolMinor: given.protocolMinor,
    openResources: resources === undefined ? openResources : async () => resources,
    isExposed: given.network === undefined,
  }
}

/** A whole number below 2^48, for what wants a seed. */
export function drawSeed({ randomFill }: Pick<ServerSeams, 'randomFill'>): number {
  const bytes = Buffer.alloc(6)
  randomFill(bytes)
  return bytes.readUIntBE(0, 6)
}
