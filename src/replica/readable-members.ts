import { CodecError } from '../base/index.ts'
import { type Configuration, decodeConfiguration, EntryKind, type LogIndex, votersOf } from '../raft/index.ts'
import { type Disk, type StoredRecord, salvageLog } from '../wal/index.ts'
import { ReplicaLogMalformedError } from './errors.ts'
import { decodeBase, decodeBootstrap, decodeDoubt, decodeEntries, RecordType } from './records.ts'
import type { SnapshotStore } from './snapshot-store.ts'

/** What a damaged directory still tells of its node's group. */
export interface ReadableMembers {
  /** The newest configuration that anything tells of; undefined when nothing does, or nobody votes in it. */
  readonly configuration: Configuration | undefined
  /** The node was in doubt before, and its directory tells of nothing since: the others were to make it whole. */
  readonly isBlankInDoubt: boolean
}

/**
 * Gathers who was in the group from all that can still be read: records before and behind the damage, good snapshots, and
 * the headers of bad ones. The newest need not be committed, and a newer one may be lost: these are hints.
 */
export async function readMembers(disk: Disk, directory: string, snapshots: SnapshotStore): Promise<ReadableMembers> {
  const hints = new Hints()
  await salvageLog(disk, directory, (record) => hints.add(record))
  const { newest, damaged } = snapshots
  for (const header of [newest?.header, ...damaged.map((each) => each.header)])
    if (header !== undefined) hints.addSnapshot(header.position.index, header.configuration.configuration)
  return hints.members
}

class Hints {
  readonly #logged = new Map<LogIndex, Configuration>()
  #snapshot: { readonly index: LogIndex; readonly configuration: Configuration } | undefined
  #bootstrap: Configuration | undefined
  #isDoubtful = false

  get members(): ReadableMembers {
    const index = this.#snapshot?.index ?? 0
    const last = Math.max(...this.#logged.keys())
    const logged = last > index ? this.#logged.get(last as LogIndex) : undefined
    const later = logged ?? this.#snapshot?.configuration
    const configuration = later ?? this.#bootstrap
    const isTold = configuration !== undefined && votersOf(configuration).length > 0
    // That the doubt ended may be what was lost, so anything that was written since has more weight.
    const isBlankInDoubt = this.#isDoubtful && later === undefined
    return { configuration: isTold ? configuration : undefined, isBlankInDoubt }
  }

  add(record: StoredRecord): void {
    try {
      this.#read(record)
    } catch (error) {
      if (!(error instanceof ReplicaLogMalformedError) && !(error instanceof CodecError)) throw error
    }
  }

  addSnapshot(index: LogIndex, configuration: Configuration): void {
    if (index >= (this.#snapshot?.index ?? 0)) this.#snapshot = { index, configuration }
  }

  #read({ type, payload }: StoredRecord): void {
    if (type === RecordType.entries) this.#readEntries(payload)
    else if (type === RecordType.doubt) this.#isDoubtful = decodeDoubt(payload)
    else if (type === RecordType.bootstrap) this.#bootstrap = decodeBootstrap(payload).configuration
    else if (type === RecordType.base && decodeBase(payload).discard) this.#logged.clear()
  }

  #readEntries(payload: Uint8Array): void {
    let isFirst = true
    decodeEntries(payload, ({ kind, index, data }) => {
      // Raft §5.3: it replaces what was there.
      if (isFirst) for (const known of this.#logged.keys()) if (known >= index) this.#logged.delete(known)
      isFirst = false
      if (kind === EntryKind.configuration) this.#logged.set(index, decodeConfiguration(data).configuration)
    })
  }
}
