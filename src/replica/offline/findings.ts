import {
  type ConfigurationData,
  decodeConfiguration,
  EntryKind,
  type LogIndex,
  NO_INDEX,
  type SnapshotPosition,
} from '../../raft/index.ts'
import type { StoredRecord } from '../../wal/index.ts'
import { EntryIndex } from '../entry-index.ts'
import { MemberList } from '../member-list.ts'
import { decodeBase, decodeEntries, RecordType } from '../records.ts'
import { RecoveredLog } from '../recovered-log.ts'

/** Folds the records of a log into what people want to know of it. */
export class Findings {
  /** Where the entries lie that count; those of the log as a whole once it is finished. */
  readonly entryIndex = new EntryIndex()
  readonly log = new RecoveredLog(this.entryIndex)
  /** Configurations in the log, by their entries. */
  readonly #configurations = new Map<LogIndex, ConfigurationData>()

  /** @throws ReplicaLogMalformedError */
  add(record: StoredRecord): void {
    this.log.add(record)
    if (record.type === RecordType.base && decodeBase(record.payload).discard) this.#configurations.clear()
    if (record.type !== RecordType.entries) return
    let isFirst = true
    decodeEntries(record.payload, ({ kind, index, data }) => {
      // Raft §5.3: it replaces what was there.
      if (isFirst)
        for (const known of this.#configurations.keys()) if (known >= index) this.#configurations.delete(known)
      isFirst = false
      if (kind === EntryKind.configuration) this.#configurations.set(index, decodeConfiguration(data))
    })
  }

  /** The members once everything is applied that is in the log behind the snapshot. */
  members(snapshot: SnapshotPosition | undefined, began: ConfigurationData | undefined, last: LogIndex): MemberList {
    const index = snapshot?.index ?? NO_INDEX
    let members = began === undefined ? MemberList.empty() : MemberList.from({ ...began, index })
    for (const [at, data] of [...this.#configurations].sort(([a], [b]) => a - b)) {
      if (at > index && at <= last) members = members.next({ ...data, index: at })
    }
    return members
  }

  /**
   * The highest entry that something on this disk proves to be committed. There may be more. It may lie behind the last
   * entry: a node that lost a part of its log still knows what others acknowledged to it.
   */
  committed(snapshot: SnapshotPosition | undefined): LogIndex {
    const acknowledged = [...this.log.peers.values()].map((peer) => peer.acknowledged)
    return Math.max(snapshot?.index ?? 0, this.log.hardState.commitIndex, ...acknowledged) as LogIndex
  }
}
