import { assert, ByteWriter } from '../base/index.ts'
import { type DigestedParts, digestOfParts, partsOf, TransactionSums } from './digest.ts'
import { type FrozenSlots, OUTCOME_AT, SLOT_WORDS } from './outcome-slots.ts'
import {
  BLOCK_HEAD_BYTES,
  BlockType,
  ENTRIES_MAX,
  ENTRY_BYTES,
  SNAPSHOT_VERSION,
  writeNoted,
  writeOpen,
  writeSettlement,
} from './snapshot-format.ts'
import type { LedgerState, NotedTransaction, OpenTransaction } from './state.ts'

/** A piece is no longer, unless one block alone is. */
const PIECE_BYTES_MAX = 64 * 1024

/**
 * The ledger as it was at one record, encoded piece by piece (snapshot-format.ts). Records that are applied meanwhile
 * do not change it: the tables are frozen and new entries go to others, and transactions are values.
 */
export class LedgerSnapshot {
  #pieces: Generator<Uint8Array, undefined> | undefined

  /** Made by `Ledger.freeze`. */
  constructor(state: LedgerState) {
    this.#pieces = piecesOf({
      // The names grow in their place.
      parts: { ...partsOf(state), names: [...state.words.names] },
      finished: state.finished.freeze(),
      open: [...state.open.values()],
      noted: [...state.noted.values()],
    })
  }

  /** The next piece, at most 64 KiB or one transaction that is larger; undefined behind the last. */
  next(): Uint8Array | undefined {
    assert(this.#pieces !== undefined, 'a snapshot that was closed has no end that could be told from its last piece')
    return this.#pieces.next().value
  }

  /** Frees what the copy holds. May be called at any time. */
  close(): void {
    this.#pieces = undefined
  }
}

interface FrozenLedger {
  readonly parts: DigestedParts
  readonly finished: readonly FrozenSlots[]
  readonly open: readonly OpenTransaction[]
  readonly noted: readonly NotedTransaction[]
}

interface Block {
  readonly type: BlockType
  readonly payload: Uint8Array
}

/** Joins blocks to pieces. */
function* piecesOf(ledger: FrozenLedger): Generator<Uint8Array, undefined> {
  let piece = new ByteWriter()
  for (const { type, payload } of blocksOf(ledger)) {
    if (piece.length > 0 && piece.length + BLOCK_HEAD_BYTES + payload.length > PIECE_BYTES_MAX) {
      yield piece.finish()
      piece = new ByteWriter(PIECE_BYTES_MAX)
    }
    piece.u8(type)
    piece.bytes(payload)
  }
  yield piece.finish()
}

function* blocksOf({ parts, finished, open, noted }: FrozenLedger): Generator<Block, undefined> {
  yield block(BlockType.head, (writer) => {
    writer.u8(SNAPSHOT_VERSION)
    writer.u53(parts.watermarkMs)
    writer.u53(parts.committedCount)
    writer.u53(parts.abortedCount)
    writer.u53(parts.guard?.fromMs ?? 0)
    writer.u53(parts.guard?.beforeMs ?? 0)
  })
  yield block(BlockType.names, (writer) => {
    writer.u16(parts.names.length)
    for (const name of parts.names) writer.text(name)
  })
  for (const payload of entriesOf(finished)) yield { type: BlockType.finished, payload }
  const sums = new TransactionSums()
  for (const each of open) {
    sums.addOpen(each)
    yield block(BlockType.open, (writer) => writeOpen(writer, each))
  }
  for (const each of noted) {
    sums.addNoted(each)
    yield block(BlockType.noted, (writer) => writeNoted(writer, each))
  }
  for (const each of parts.settlements) yield block(BlockType.settlement, (writer) => writeSettlement(writer, each))
  yield { type: BlockType.end, payload: Buffer.from(digestOfParts(parts, sums), 'hex') }
}

function block(type: BlockType, write: (writer: ByteWriter) => void): Block {
  const writer = new ByteWriter()
  write(writer)
  return { type, payload: writer.finish() }
}

/** The entries of all slots, so many in a payload that it fits in a piece. */
function* entriesOf(buckets: readonly FrozenSlots[]): Generator<Uint8Array, undefined> {
  const bytesMax = ENTRIES_MAX * ENTRY_BYTES
  let payload = Buffer.allocUnsafe(bytesMax)
  let size = 0
  for (const slots of buckets) {
    for (let at = 0; at < slots.length; at += SLOT_WORDS) {
      if (slots[at + OUTCOME_AT] === 0) continue
      for (let word = 0; word < SLOT_WORDS; word++) size = payload.writeInt32BE(slots[at + word]!, size)
      if (size < bytesMax) continue
      yield payload
      payload = Buffer.allocUnsafe(bytesMax)
      size = 0
    }
  }
  if (size > 0) yield payload.subarray(0, size)
}
