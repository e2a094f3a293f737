import type { NodeId } from '../base/index.ts'
import {
  type Configuration,
  type ConfigurationData,
  EMPTY_CONFIGURATION,
  type LogIndex,
  membersOf,
  NO_INDEX,
  simpleConfiguration,
} from '../raft/index.ts'
import type { Endpoint } from '../transport/index.ts'
import { decodeMemberContext, encodeMemberContext, type MemberDetails } from './member-context.ts'
import type { Member } from './options.ts'

/** A configuration that came in force, as the core tells it. */
export interface ConfigurationInForce extends ConfigurationData {
  readonly index: LogIndex
  /** A quorum of it knows durably that it is in force. False unless it says so. */
  readonly confirmed?: boolean
}

/** Who takes part, and where they are reached, from one entry of the log to the next. Immutable. */
export class MemberList {
  readonly configuration: Configuration
  /** The entry that put it in force; 0 for what the group began with. */
  readonly index: LogIndex
  /** A quorum of these members knows durably that they are in force: whoever they replaced is needed no more. */
  readonly confirmed: boolean
  readonly details: ReadonlyMap<NodeId, MemberDetails>
  /** Why the safeguards were left out when these members were chosen; undefined when they were not. */
  readonly forcedBecause: string | undefined

  private constructor(
    configuration: Configuration,
    index: LogIndex,
    confirmed: boolean,
    details: ReadonlyMap<NodeId, MemberDetails>,
    forcedBecause: string | undefined,
  ) {
    this.configuration = configuration
    this.index = index
    this.confirmed = confirmed
    this.details = details
    this.forcedBecause = forcedBecause
  }

  /** What a group begins with: everybody votes. */
  static bootstrap(members: readonly Member[]): MemberList {
    const details = new Map(members.map(({ nodeId, host, port }) => [nodeId, { host, port, storeId: undefined }]))
    return new MemberList(simpleConfiguration(members.map(({ nodeId }) => nodeId)), NO_INDEX, true, details, undefined)
  }

  /** What a node has that waits to be added. */
  static empty(): MemberList {
    return new MemberList(EMPTY_CONFIGURATION, NO_INDEX, true, new Map(), undefined)
  }

  /** Reads what `data` wrote. @throws ReplicaLogMalformedError */
  static from(inForce: ConfigurationInForce): MemberList {
    return MemberList.empty().next(inForce)
  }

  /** What follows when `change` comes in force. @throws ReplicaLogMalformedError */
  next({ configuration, context, index, confirmed = false }: ConfigurationInForce): MemberList {
    // Without a context the leader made the change by itself, and knew no more than was known before.
    const isByItself = context.length === 0
    const { details, forcedBecause } = isByItself ? this : decodeMemberContext(context)
    const version = isByItself && confirmed ? this.index : index
    return new MemberList(
      configuration,
      version,
      confirmed,
      detailsOf(membersOf(configuration), details),
      forcedBecause,
    )
  }

  /** For snapshots and checkpoints: all of it but the index. */
  get data(): ConfigurationData {
    const { configuration, details, forcedBecause } = this
    return { configuration, context: encodeMemberContext({ details, forcedBecause }) }
  }

  /** Everyone who receives the log, voters first. */
  get nodeIds(): readonly NodeId[] {
    return membersOf(this.configuration)
  }

  isMember(nodeId: NodeId): boolean {
    return this.nodeIds.includes(nodeId)
  }

  /** It was removed, and its id is never used again. */
  isRetired(nodeId: NodeId): boolean {
    return this.configuration.retired.includes(nodeId)
  }

  /** It was removed, and nobody needs it any more. Before, some of those who stay may not know, and may need its word. */
  isDismissed(nodeId: NodeId): boolean {
    return this.confirmed && this.isRetired(nodeId)
  }

  /** `host:port`, or undefined for who is no member. */
  addressOf(nodeId: NodeId): string | undefined {
    const details = this.details.get(nodeId)
    return details === undefined ? undefined : formatEndpoint(details)
  }
}

/** `host:port`, with brackets around IPv6. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function detailsOf(
  nodeIds: readonly NodeId[],
  details: ReadonlyMap<NodeId, MemberDetails>,
): ReadonlyMap<NodeId, MemberDetails> {
  return new Map(
    nodeIds.flatMap((nodeId) => {
      const known = details.get(nodeId)
      return known === undefined ? [] : [[nodeId, known]]
    }),
  )
}
