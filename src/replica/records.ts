import { ByteReader, ByteWriter, CodecError, type NodeId } from '../base/index.ts'
import {
  type ConfigurationData,
  decodeConfiguration,
  type Entry,
  type EntryKind,
  encodeConfiguration,
  type HardState,
  type LogIndex,
  NO_INDEX,
  type SnapshotPosition,
  type Term,
} from '../raft/index.ts'
import { ReplicaLogMalformedError } from './errors.ts'

/**
 * What the replica writes into the durable log. Numbers are big-endian; u53 is a whole number in eight bytes.
 *
 *     entries    | first index u53 | count u32 | count × ( term u53 | kind u8 | length u32 | data ) |
 *     hardState  | current term u53 | voted for u16, 0 for nobody | commit index u53 |
 *     peer       | node id u16 | acknowledged u53 | store id: length u16, text |
 *     base       | index u53 | term u53 | flags u8: 1 = discard |
 *     doubt      | 0 or 1 u8 |
 *     bootstrap  | a configuration, as in an entry |
 *
 * Recovery rule: read all records in order. The last hard state, base, doubt and bootstrap count, and the last record of
 * each peer. A record of entries continues the log, or replaces it from its first index on (Raft §5.3): then what was
 * there at and behind that index is gone. A base says that a snapshot covers the log up to its index: nothing before it
 * counts, and it need not be there, because older segments of the log are removed. With `discard` the whole log before it
 * is gone, and begins anew behind it. A gap, or a term that falls, cannot be written by us: the node refuses to start.
 *
 * Before segments are removed, what must outlive them (base, hard state, doubt, bootstrap, peers) is written again.
 *
 * Release 0.1 wrote hard states without a commit index, and no records of base, doubt and bootstrap.
 */
export const RecordType = { entries: 1, hardState: 2, peer: 3, base: 4, doubt: 5, bootstrap: 6 } as const

const ENTRIES_HEAD_BYTES = 12
const ENTRY_HEAD_BYTES = 13

/** What this node durably knows about another one. */
export interface PeerRecord {
  readonly nodeId: NodeId
  /** The data directory that this node id is bound to. */
  readonly storeId: string
  /** The highest committed index that the peer acknowledged to us: it must never come back with less. A lower bound. */
  readonly acknowledged: number
}

/** The end (exclusive) of the entries from `start` on that go into one record of about `bytesMax`. */
export function recordEnd(entries: readonly Entry[], start: number, bytesMax: number): number {
  let end = start + 1
  let bytes = entries[start]!.data.length
  while (end < entries.length) {
    bytes += entries[end]!.data.length + ENTRY_HEAD_BYTES
    if (bytes > bytesMax) break
    end++
  }
  return end
}

/** The payload of a record with `entries[start..end)`, which are consecutive. */
export function encodeEntries(entries: readonly Entry[], start: number, end: number): Buffer {
  let size = ENTRIES_HEAD_BYTES
  for (let i = start; i < end; i++) size += ENTRY_HEAD_BYTES + entries[i]!.data.length
  const writer = new ByteWriter(size)
  writer.u53(entries[start]!.index)
  writer.u32(end - start)
  for (let i = start; i < end; i++) {
    const entry = entries[i]!
    writer.u53(entry.term)
    writer.u8(entry.kind)
    writer.bytes(entry.data)
  }
  return writer.finish()
}

/**
 * Calls `visit` for each entry, without its data being copied: `data` is a view of `payload`.
 *
 * @throws ReplicaLogMalformedError when the payload is not what `encodeEntries` writes
 */
export function decodeEntries(payload: Uint8Array, visit: (entry: Entry) => void): void {
  readWhole('entries', payload, (reader) => {
    const firstIndex = reader.u53()
    const count = reader.u32()
    for (let i = 0; i < count; i++) {
      const term = reader.u53() as Term
      const kind = reader.u8() as EntryKind
      if (kind > 2) throw new CodecError(`an entry of the unknown kind ${kind}`)
      visit({ term, index: (firstIndex + i) as LogIndex, kind, data: reader.bytes() })
    }
  })
}

export function encodeHardState(state: HardState): Buffer {
  const writer = new ByteWriter(18)
  writer.u53(state.currentTerm)
  writer.u16(state.votedFor ?? 0)
  writer.u53(state.commitIndex)
  return writer.finish()
}

/** @throws ReplicaLogMalformedError when the payload is not what `encodeHardState` writes, now or in earlier releases */
export function decodeHardState(payload: Uint8Array): HardState {
  return readWhole('hard state', payload, (reader) => {
    const currentTerm = reader.u53() as Term
    const votedFor = reader.u16()
    const commitIndex = reader.remaining < 8 ? NO_INDEX : (reader.u53() as LogIndex)
    return { currentTerm, votedFor: votedFor === 0 ? undefined : (votedFor as NodeId), commitIndex }
  })
}

/** Where the log begins: everything up to `position` is covered by a snapshot. */
export interface BaseRecord {
  readonly position: SnapshotPosition
  /** The whole log that was written before this record is gone. */
  readonly discard: boolean
}

export function encodeBase({ position, discard }: BaseRecord): Buffer {
  const writer = new ByteWriter(17)
  writer.u53(position.index)
  writer.u53(position.term)
  writer.u8(discard ? 1 : 0)
  return writer.finish()
}

/** @throws ReplicaLogMalformedError when the payload is not what `encodeBase` writes */
export function decodeBase(payload: Uint8Array): BaseRecord {
  return readWhole('base', payload, (reader) => {
    const position = { index: reader.u53() as LogIndex, term: reader.u53() as Term }
    return { position, discard: readFlag(reader) }
  })
}

/** @param doubtful a part of the log or of the votes was lost to damage */
export function encodeDoubt(doubtful: boolean): Buffer {
  return Buffer.from([doubtful ? 1 : 0])
}

/** @throws ReplicaLogMalformedError when the payload is not what `encodeDoubt` writes */
export function decodeDoubt(payload: Uint8Array): boolean {
  return readWhole('doubt', payload, readFlag)
}

/** The configuration that the log begins with, before its first entry. */
export function encodeBootstrap(data: ConfigurationData): Uint8Array {
  return encodeConfiguration(data)
}

/** @throws ReplicaLogMalformedError when the payload is not what `encodeBootstrap` writes */
export function decodeBootstrap(payload: Uint8Array): ConfigurationData {
  return understood('bootstrap', () => decodeConfiguration(payload))
}

export function encodePeer(peer: PeerRecord): Buffer {
  const writer = new ByteWriter(64)
  writer.u16(peer.nodeId)
  writer.u53(peer.acknowledged)
  writer.text(peer.storeId)
  return writer.finish()
}

/** @throws ReplicaLogMalformedError when the payload is not what `encodePeer` writes */
export function decodePeer(payload: Uint8Array): PeerRecord {
  return readWhole('peer', payload, (reader) => {
    const nodeId = reader.u16() as NodeId
    const acknowledged = reader.u53()
    return { nodeId, acknowledged, storeId: reader.text() }
  })
}

function readFlag(reader: ByteReader): boolean {
  const flag = reader.u8()
  if (flag > 1) throw new CodecError(`${flag} is no flag`)
  return flag === 1
}

function readWhole<T>(name: string, payload: Uint8Array, read: (reader: ByteReader) => T): T {
  const reader = new ByteReader(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength))
  return understood(name, () => {
    const value = read(reader)
    reader.finish()
    return value
  })
}

function understood<T>(name: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof CodecError)
      throw new ReplicaLogMalformedError(`a record of kind "${name}": ${error.message}`, { cause: error })
    throw error
  }
}
