import { assert, type ByteReader, CodecError } from '../base/index.ts'
import { BlockReader } from './block-reader.ts'
import { phaseTwoBranches } from './branches.ts'
import { digestOfParts, partsOf, TransactionSums } from './digest.ts'
import { isBehindWatermark } from './knowledge.ts'
import { countUndecided, needsOperator } from './settlements.ts'
import {
  BlockType,
  DIGEST_BYTES,
  ENTRY_BYTES,
  readNoted,
  readOpen,
  readSettlement,
  SNAPSHOT_VERSION,
} from './snapshot-format.ts'
import { emptyState, type LedgerState, type NotedTransaction, type OpenTransaction } from './state.ts'
import { TxidKey } from './txid-key.ts'
import type { Settlement } from './types.ts'

/**
 * Reads a snapshot of a ledger back (snapshot-format.ts). Whatever the bytes are, the state it gives satisfies the
 * invariants of state.ts and has the digest that the snapshot names; else it gives none.
 */
export class LedgerRestore {
  readonly #install: (state: LedgerState) => void
  readonly #blocks = new BlockReader()
  readonly #sums = new TransactionSums()
  readonly #key = new TxidKey()
  #state = emptyState()
  #lastType = 0
  #decided = 0
  #failure: CodecError | undefined
  #finished = false

  /** Made by `Ledger.restore`. */
  constructor(install: (state: LedgerState) => void) {
    this.#install = install
  }

  /**
   * Takes the next bytes; they may be cut anywhere, and are copied.
   *
   * @throws CodecError when they are not what `freeze` gave. Then nothing more is taken: the restore has failed
   */
  add(bytes: Uint8Array): void {
    assert(!this.#finished, 'a restore that is finished takes nothing more')
    if (this.#failure !== undefined) throw this.#failure
    try {
      this.#blocks.push(bytes)
      for (let block = this.#blocks.next(); block !== undefined; block = this.#blocks.next()) {
        this.#take(block.type, block.reader)
        block.reader.finish()
      }
    } catch (error) {
      if (!(error instanceof CodecError)) throw error
      this.#failure = unreadable(error.message, error)
      throw this.#failure
    }
  }

  /**
   * Puts the restored state in place of the present one, at once.
   *
   * @throws CodecError when the snapshot is not whole; then nothing has changed
   */
  finish(): void {
    assert(!this.#finished, 'a restore is finished once')
    if (this.#failure !== undefined) throw this.#failure
    if (this.#lastType !== BlockType.end) throw unreadable('it ends early')
    if (this.#blocks.bytesPending > 0) throw unreadable('bytes are left over behind its end')
    this.#finished = true
    this.#install(this.#state)
    this.#state = emptyState()
  }

  #take(type: number, reader: ByteReader): void {
    this.#checkOrder(type)
    this.#lastType = type
    switch (type) {
      case BlockType.head:
        this.#takeHead(reader)
        break
      case BlockType.names:
        this.#takeNames(reader)
        break
      case BlockType.finished:
        this.#takeFinished(reader)
        break
      case BlockType.open:
        this.#takeOpen(readOpen(reader))
        break
      case BlockType.noted:
        this.#takeNoted(readNoted(reader))
        break
      case BlockType.settlement:
        this.#takeSettlement(readSettlement(reader))
        break
      default:
        this.#takeEnd(reader)
    }
  }

  /** Types ascend, but for the settlements, which came later and stand before the end; the head, the names and the end come once, and head and names always. */
  #checkOrder(type: number): void {
    const last = this.#lastType
    const again = type === last && type >= BlockType.finished && type !== BlockType.end
    const first = type === BlockType.head && last === 0
    const second = type === BlockType.names && last === BlockType.head
    const later = placeOf(type) > placeOf(last) && last >= BlockType.names
    if (!(again || first || second || later)) throw new CodecError(`a block of type ${type} behind one of type ${last}`)
  }

  #takeHead(reader: ByteReader): void {
    const version = reader.u8()
    if (version !== SNAPSHOT_VERSION) {
      throw new CodecError(
        `it has format version ${version} and this program reads version ${SNAPSHOT_VERSION}; run the version that wrote it`,
      )
    }
    this.#state.watermarkMs = reader.u53()
    this.#state.committedCount = reader.u53()
    this.#state.abortedCount = reader.u53()
    this.#takeGuard(reader.u53(), reader.u53())
    this.#state.finished.forgetBefore(this.#state.watermarkMs)
  }

  #takeGuard(fromMs: number, beforeMs: number): void {
    if (fromMs > beforeMs || (fromMs === beforeMs && fromMs > 0)) throw new CodecError('a guard that spans no time')
    if (beforeMs > 0) this.#state.guard = { fromMs, beforeMs }
  }

  #takeNames(reader: ByteReader): void {
    const count = reader.u16()
    for (let i = 0; i < count; i++) {
      const name = reader.text()
      if (!this.#state.words.restoreName(name)) throw new CodecError(`participant name ${i + 1} cannot stand there`)
    }
  }

  #takeFinished(reader: ByteReader): void {
    if (reader.remaining === 0) throw new CodecError('a block of no finished transactions')
    while (reader.remaining > 0) this.#takeEntry(reader.buffer, reader.take(ENTRY_BYTES))
  }

  #takeEntry(buffer: Buffer, at: number): void {
    const key = this.#key
    const { words, finished } = this.#state
    key.w0 = buffer.readInt32BE(at)
    key.w1 = buffer.readInt32BE(at + 4)
    key.w2 = buffer.readInt32BE(at + 8)
    key.w3 = buffer.readInt32BE(at + 12)
    const word = buffer.readInt32BE(at + 16)
    if (!key.isTxid) throw new CodecError('a txid that is no UUIDv7')
    if (!words.has(word)) throw new CodecError(`a finished transaction with the unknown outcome ${word}`)
    const isNew = finished.restore(key, word, buffer.readInt32BE(at + 20))
    if (!isNew) throw new CodecError('a finished transaction is there twice, or was forgotten')
  }

  #takeOpen(open: OpenTransaction): void {
    const { txid, outcome, branches, findings } = open
    const state = this.#state
    if (state.open.has(txid) || state.finished.get(txid) !== undefined) throw new CodecError(`${txid} is there twice`)
    if (outcome === undefined) state.preparingCount++
    else if (phaseTwoBranches(branches).length > 0) this.#decided++
    else throw new CodecError(`${txid} is decided and has no branch to tell`)
    if (findings.length > 0) state.heuristicCount++
    state.open.set(txid, open)
    this.#sums.addOpen(open)
  }

  #takeNoted(noted: NotedTransaction): void {
    const { txid, outcome, findings } = noted
    const state = this.#state
    if (state.open.has(txid) || state.noted.has(txid)) throw new CodecError(`${txid} is there twice`)
    if (findings.length === 0) throw new CodecError(`${txid} is noted without a finding`)
    const entry = state.finished.get(txid)
    const agree =
      entry === undefined
        ? outcome !== undefined || isBehindWatermark(state, txid)
        : outcome?.kind === state.words.unpack(entry.word).kind
    if (!agree) throw new CodecError(`${txid} is noted with an outcome that it does not have`)
    state.heuristicCount++
    state.noted.set(txid, noted)
    this.#sums.addNoted(noted)
  }

  #takeSettlement(settlement: Settlement): void {
    const state = this.#state
    const { txid, branch, standing } = settlement
    const isOrder = standing === 'ordered' && needsOperator(settlement)
    const repeats = (each: Settlement): boolean =>
      each.txid === txid && each.branch === branch && each.standing === standing
    if (isOrder && state.settlements.some((each) => needsOperator(each) && repeats(each)))
      throw new CodecError(`branch ${branch} of ${txid} has two orders that wait`)
    state.settlements = [...state.settlements, settlement]
    state.undecidedSettlements = countUndecided(state.settlements)
  }

  #takeEnd(reader: ByteReader): void {
    const state = this.#state
    if (state.committedCount + state.abortedCount < this.#decided + state.finished.count) {
      throw new CodecError('it counts fewer decisions than it holds')
    }
    const at = reader.take(DIGEST_BYTES)
    const named = reader.buffer.toString('hex', at, at + DIGEST_BYTES)
    const found = digestOfParts(partsOf(state), this.#sums)
    if (named !== found) throw new CodecError(`its digest is ${found} and should be ${named}`)
  }
}

/** Where a block of this type stands among the others. */
function placeOf(type: number): number {
  return type === BlockType.end ? Number.POSITIVE_INFINITY : type
}

function unreadable(why: string, cause?: Error): CodecError {
  return new CodecError(`the snapshot of the ledger can't be read: ${why}`, cause === undefined ? {} : { cause })
}
