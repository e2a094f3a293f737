import { assert, type Txid, txidTimeMs, unreachable } from '../../base/index.ts'
import type { Data } from './data.ts'
import { KvLogMalformedError } from './errors.ts'
import { outcomeKey, WATERMARK_KEY } from './keys.ts'
import { type KvRecord, type PreparedRow, Refusal, type RefusalReason, refusalOf } from './records.ts'

/** What is known here of a transaction that is over. */
export type Outcome =
  | { readonly kind: 'committed' }
  /** It had voted commit. */
  | { readonly kind: 'aborted' }
  /** It never did, and never will. */
  | { readonly kind: 'refused'; readonly reason: RefusalReason }
  /** It is older than the watermark: its outcome, if it had one, is no longer kept. */
  | { readonly kind: 'forgotten' }

const COMMITTED = 100
const ABORTED = 101

/**
 * What the log has led to: branches in doubt, outcomes and data. Each record is applied in the moment in which it is
 * appended, and again when the log is read after a start; so both lead to the same.
 */
export class KvState {
  readonly #data: Data
  readonly #inDoubt = new Map<Txid, PreparedRow>()
  #watermarkMs: number

  constructor(data: Data) {
    this.#data = data
    this.#watermarkMs = data.get(WATERMARK_KEY)?.readUIntBE(0, 6) ?? 0
  }

  /** Branches that voted commit, or are about to, and have no outcome yet. */
  get inDoubt(): ReadonlyMap<Txid, PreparedRow> {
    return this.#inDoubt
  }

  /** Outcomes of txids made before this time are forgotten. Milliseconds since 1970. */
  get watermarkMs(): number {
    return this.#watermarkMs
  }

  outcomeOf(txid: Txid): Outcome | undefined {
    if (this.#inDoubt.has(txid)) return undefined
    if (txidTimeMs(txid) < this.#watermarkMs) return { kind: 'forgotten' }
    const stored = this.#data.get(outcomeKey(txid))?.[0]
    if (stored === undefined) return undefined
    if (stored === COMMITTED) return { kind: 'committed' }
    return stored === ABORTED ? { kind: 'aborted' } : { kind: 'refused', reason: refusalOf(stored) }
  }

  /** @throws KvLogMalformedError when it does not fit what came before: then nothing has changed */
  apply(record: KvRecord): void {
    switch (record.kind) {
      case 'head':
        return
      case 'prepared':
        if (this.#inDoubt.has(record.row.txid)) throw unfit(record.kind, record.row.txid, 'is in doubt already')
        this.#inDoubt.set(record.row.txid, record.row)
        return
      case 'inDoubt':
        this.#inDoubt.set(record.row.txid, record.row)
        return
      case 'committed':
        this.#data.apply(this.#taken(record.txid, record.kind).effects)
        return this.#keepOutcome(record.txid, COMMITTED)
      case 'aborted':
        this.#taken(record.txid, record.kind)
        return this.#keepOutcome(record.txid, ABORTED)
      case 'refused':
        if (this.#inDoubt.has(record.txid)) throw unfit(record.kind, record.txid, 'is in doubt')
        return this.#keepOutcome(record.txid, Refusal[record.reason])
      case 'forgotten':
        return this.#raiseWatermark(record.beforeMs)
      default:
        return unreachable(record)
    }
  }

  #taken(txid: Txid, kind: KvRecord['kind']): PreparedRow {
    const row = this.#inDoubt.get(txid)
    if (row === undefined) throw unfit(kind, txid, 'is not in doubt')
    this.#inDoubt.delete(txid)
    return row
  }

  #keepOutcome(txid: Txid, word: number): void {
    assert(word > 0 && word < 256, 'an outcome is one byte')
    this.#data.apply([{ key: outcomeKey(txid), value: Buffer.from([word]) }])
  }

  #raiseWatermark(beforeMs: number): void {
    if (beforeMs <= this.#watermarkMs) return
    this.#watermarkMs = beforeMs
    const value = Buffer.alloc(6)
    value.writeUIntBE(beforeMs, 0, 6)
    this.#data.apply([{ key: WATERMARK_KEY, value }])
  }
}

function unfit(kind: string, txid: Txid, what: string): KvLogMalformedError {
  return new KvLogMalformedError(`it says "${kind}" of ${txid}, which ${what}`)
}
