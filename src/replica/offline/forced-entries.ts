import type { NodeId } from '../../base/index.ts'
import {
  type ConfigurationData,
  type Entry,
  EntryKind,
  encodeConfiguration,
  type HardState,
  type LogIndex,
  membersOf,
  type SnapshotPosition,
  simpleConfiguration,
  type Term,
} from '../../raft/index.ts'
import type { Endpoint } from '../../transport/index.ts'
import { encodeMemberContext } from '../member-context.ts'
import type { MemberList } from '../member-list.ts'

/** This node alone, and nobody else ever again. */
export function aloneConfiguration(
  nodeId: NodeId,
  endpoint: Endpoint,
  retired: readonly NodeId[],
  reason: string,
): ConfigurationData {
  const others = [...new Set(retired)].filter((each) => each !== nodeId).sort((a, b) => a - b)
  const details = new Map([[nodeId, { ...endpoint, storeId: undefined }]])
  return {
    configuration: { ...simpleConfiguration([nodeId]), retired: others },
    context: encodeMemberContext({ details, forcedBecause: reason }),
  }
}

/** Every id that must never be used again when these members are given up. */
export function idsOf({ configuration }: MemberList): readonly NodeId[] {
  return [...membersOf(configuration), ...configuration.retired]
}

/** What is written behind the last entry, by a leader that nobody elected. */
export interface ForcedWrite {
  readonly hardState: HardState
  readonly entries: readonly Entry[]
}

/**
 * Entries of a term of their own behind `last`, declared committed with all before them: the node applies them when it
 * starts, and before it may campaign. It voted for itself in that term, so nobody else can lead in it.
 */
export function forcedWrite(
  nodeId: NodeId,
  last: SnapshotPosition,
  currentTerm: Term,
  configuration: ConfigurationData | undefined,
  payloads: readonly Uint8Array[],
): ForcedWrite {
  const term = (Math.max(currentTerm, last.term) + 1) as Term
  const forced = configuration === undefined ? [] : [configuration, { ...configuration, context: new Uint8Array(0) }]
  const contents = [
    // Twice: so it is confirmed, and whoever it removed is refused from the beginning.
    ...forced.map((each) => ({ kind: EntryKind.configuration, data: encodeConfiguration(each) })),
    ...payloads.map((data) => ({ kind: EntryKind.command, data })),
  ]
  const entries = contents.map((content, at): Entry => ({ term, index: (last.index + 1 + at) as LogIndex, ...content }))
  const commitIndex = (last.index + entries.length) as LogIndex
  return { hardState: { currentTerm: term, votedFor: nodeId, commitIndex }, entries }
}
