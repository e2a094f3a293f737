import { ByteReader, ByteWriter, CodecError, type NodeId } from '../base/index.ts'
import type { Entry, EntryKind, HardState, LogIndex, Term } from '../raft/index.ts'
import { ReplicaLogMalformedError } from './errors.ts'

/**
 * What the replica writes into the durable log. Numbers are big-endian; u53 is a whole number in eight bytes.
 *
 *     entries    | first index u53 | count u32 | count × ( term u53 | kind u8 | length u32 | data ) |
 *     hardState  | current term u53 | voted for u16, 0 for nobody |
 *     peer       | node id u16 | acknowledged u53 | store id: length u16, text |
 *
 * Recovery rule: read all records in order. The last hard state counts, and the last record of each peer. A record
 * of entries continues the log, or replaces it from its first index on (Raft §5.3): then what was there at and
 * behind that index is gone. A gap, or a term that falls, cannot be written by us: the node refuses to start.
 */
export const RecordType = { entries: 1, hardState: 2, peer: 3 } as const

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
  const writer = new ByteWriter(10)
  writer.u53(state.currentTerm)
  writer.u16(state.votedFor ?? 0)
  return writer.finish()
}

/** @throws ReplicaLogMalformedError when the payload is not what `encodeHardState` writes */
export function decodeHardState(payload: Uint8Array): HardState {
  return readWhole('hard state', payload, (reader) => {
    const currentTerm = reader.u53() as Term
    const votedFor = reader.u16()
    return { currentTerm, votedFor: votedFor === 0 ? undefined : (votedFor as NodeId), commitIndex: 0 as LogIndex }
  })
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

function readWhole<T>(name: string, payload: Uint8Array, read: (reader: ByteReader) => T): T {
  const reader = new ByteReader(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength))
  try {
    const value = read(reader)
    reader.finish()
    return value
  } catch (error) {
    if (error instanceof CodecError)
      throw new ReplicaLogMalformedError(`a record of kind "${name}": ${error.message}`, { cause: error })
    throw error
  }
}
