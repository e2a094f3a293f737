import type { StoredRecord, Wal } from '../../wal/index.ts'
import { KvRulesChangedError, KvStoreMismatchError } from './errors.ts'
import type { StoreMark } from './mark.ts'
import { decodeRecord } from './records.ts'
import type { KvState } from './state.ts'

export interface ReplayOptions {
  readonly state: KvState
  readonly uniquePrefixes: readonly string[]
  /** Of the store; undefined when it was never written. */
  readonly mark: StoreMark | undefined
}

/** Reads the log at a start: applies what the store does not have, and finds out whether the two belong together. */
export class Replay {
  readonly #options: ReplayOptions
  #begun = false

  constructor(options: ReplayOptions) {
    this.#options = options
  }

  /** Whether log and store are new. */
  get empty(): boolean {
    return !this.#begun
  }

  /** The next record. @throws KvLogMalformedError, KvStoreMismatchError, KvRulesChangedError */
  record({ type, payload, position }: StoredRecord): void {
    const { state, uniquePrefixes, mark } = this.#options
    // The store has it; or it is in doubt still, and was written again behind the mark.
    if (mark !== undefined && position < mark.position) return
    const record = decodeRecord(type, payload)
    if (!this.#begun && (record.kind !== 'head' || position !== (mark?.position ?? position))) throw mismatch(mark)
    this.#begun = true
    if (record.kind === 'head' && !sameTexts(record.uniquePrefixes, uniquePrefixes)) {
      throw new KvRulesChangedError(record.uniquePrefixes, uniquePrefixes)
    }
    state.apply(record)
  }

  /** All records were read. @throws KvStoreMismatchError */
  end(wal: Pick<Wal, 'storeId' | 'begin'>): void {
    const { mark } = this.#options
    if (mark === undefined ? wal.begin > 0 : !this.#begun || mark.storeId !== wal.storeId) throw mismatch(mark)
  }
}

function mismatch(mark: StoreMark | undefined): KvStoreMismatchError {
  return mark === undefined
    ? new KvStoreMismatchError('the data is empty, and the log does not go back to the beginning')
    : new KvStoreMismatchError(
        `the data speaks of position ${mark.position} of log ${mark.storeId}, which is not this log`,
      )
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text) => b.includes(text))
}
