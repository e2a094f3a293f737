import type { NodeId } from '../base/index.ts'
import {
  type Configuration,
  type ConfigurationData,
  EMPTY_CONFIGURATION,
  isConfirmation,
  type LogIndex,
  membersOf,
  NO_INDEX,
  simpleConfiguration,
} from '../raft/index.ts'
import type { Endpoint } from '../transport/index.ts'
import { decodeMemberContext, encodeMemberContext, type MemberContext, type MemberDetails } from './member-context.ts'
import type { Member } from './options.ts'

/** A configuration that came in force, as the core tells it. */
export interface ConfigurationInForce extends ConfigurationData {
  readonly index: LogIndex
}

interface Fields {
  readonly configuration: Configuration
  readonly index: LogIndex
  readonly confirmed: boolean
  readonly dismissed: readonly NodeId[]
  readonly details: ReadonlyMap<NodeId, MemberDetails>
  readonly forcedBecause: string | undefined
}

/** Who takes part, and where they are reached, from one entry of the log to the next. Immutable. */
export class MemberList implements Fields {
  readonly configuration: Configuration
  /** The entry that put it in force; 0 for what the group began with. */
  readonly index: LogIndex
  /** A quorum of these members knows durably that they are in force. */
  readonly confirmed: boolean
  /** Those who were removed, and whom nobody needs any more. Before, some who stay may not know, and may need their word. */
  readonly dismissed: readonly NodeId[]
  readonly details: ReadonlyMap<NodeId, MemberDetails>
  /** Why the safeguards were left out when these members were chosen; undefined when they were not. */
  readonly forcedBecause: string | undefined

  private constructor({ configuration, index, confirmed, dismissed, details, forcedBecause }: Fields) {
    this.configuration = configuration
    this.index = index
    this.confirmed = confirmed
    this.dismissed = dismissed
    this.details = detailsOf(membersOf(configuration), details)
    this.forcedBecause = forcedBecause
  }

  /** What a group begins with: everybody votes. */
  static bootstrap(members: readonly Member[]): MemberList {
    const details = new Map(members.map(({ nodeId, host, port }) => [nodeId, { host, port, storeId: undefined }]))
    return MemberList.#confirmed(simpleConfiguration(members.map(({ nodeId }) => nodeId)), NO_INDEX, { details })
  }

  /** What a node has that waits to be added. */
  static empty(): MemberList {
    return MemberList.#confirmed(EMPTY_CONFIGURATION, NO_INDEX)
  }

  /** Reads what `data` wrote for a snapshot. @throws ReplicaLogMalformedError */
  static from({ configuration, context, index }: ConfigurationInForce): MemberList {
    return MemberList.#confirmed(configuration, index, context.length === 0 ? {} : decodeMemberContext(context))
  }

  static #confirmed(configuration: Configuration, index: LogIndex, context: Partial<MemberContext> = {}): MemberList {
    const { details = new Map(), forcedBecause } = context
    return new MemberList({
      configuration,
      index,
      confirmed: true,
      dismissed: configuration.retired,
      details,
      forcedBecause,
    })
  }

  /** What follows when `change` comes in force. @throws ReplicaLogMalformedError */
  next(change: ConfigurationInForce): MemberList {
    const { configuration, context, index } = change
    // Without a context the leader made the change by itself, and knew no more than was known before.
    const { details, forcedBecause } = context.length === 0 ? this : decodeMemberContext(context)
    const confirmed = isConfirmation(this.configuration, change)
    return new MemberList({
      configuration,
      index: confirmed ? this.index : index,
      confirmed,
      // Only a leader that has applied the configuration before proposes the next one: a quorum has it, and knows that.
      dismissed: this.configuration.retired,
      details,
      forcedBecause,
    })
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

  /** It was removed, and nobody needs it any more. */
  isDismissed(nodeId: NodeId): boolean {
    return this.dismissed.includes(nodeId)
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
