import { CodecError, type NodeId } from '../base/index.ts'
import type { DecisionLogHandler, FrozenState, StateRestore } from './decision-log.ts'

/** A state machine that remembers what it was told. */
export class Recorder implements DecisionLogHandler {
  readonly applied: string[] = []
  readonly indexes: number[] = []
  readonly terms: number[] = []
  readonly followed: (NodeId | undefined)[] = []
  leads = false
  onApply: ((text: string) => void) | undefined
  /** How much was applied when `leading` was called last. */
  appliedAtLeading = 0
  /** How often the state was replaced by that of a snapshot. */
  restores = 0

  apply(payload: Uint8Array, index: number): void {
    const text = Buffer.from(payload).toString()
    this.applied.push(text)
    this.indexes.push(index)
    this.onApply?.(text)
  }

  leading(term: number): void {
    this.leads = true
    this.terms.push(term)
    this.appliedAtLeading = this.applied.length
  }

  following(leader: NodeId | undefined): void {
    this.leads = false
    this.followed.push(leader)
  }

  /** What was applied, as JSON, in small pieces. */
  freeze(): FrozenState {
    const bytes = Buffer.from(JSON.stringify({ applied: this.applied, indexes: this.indexes }))
    let at = 0
    return {
      next: () => {
        const piece = bytes.subarray(at, at + PIECE_BYTES)
        at += piece.length
        return piece.length > 0 ? piece : undefined
      },
      close: () => {},
    }
  }

  restore(): StateRestore {
    const pieces: Uint8Array[] = []
    return {
      add: (bytes) => pieces.push(Buffer.from(bytes)),
      finish: () => {
        const { applied, indexes } = parseFrozen(Buffer.concat(pieces).toString())
        this.applied.length = 0
        this.indexes.length = 0
        for (const text of applied) this.applied.push(text)
        for (const index of indexes) this.indexes.push(index)
        this.restores++
      },
    }
  }
}

const PIECE_BYTES = 1000

function parseFrozen(json: string): { readonly applied: string[]; readonly indexes: number[] } {
  try {
    return JSON.parse(json)
  } catch (error) {
    throw new CodecError(`the recorder's state is malformed: ${json.slice(0, 80)}`, { cause: error })
  }
}
