import { assert } from '../base/index.ts'
import type { Entry, HardState, RaftEffect, RaftMessage, Term, WriteId } from './types.ts'

const NO_ENTRIES: readonly Entry[] = []

/** What the outbox has to know of the node when a step ends. */
interface WriteContext {
  readonly hardState: HardState
  readonly term: Term
  /** Numbers the write; `withEntries` says whether it makes log entries durable. */
  readonly beginWrite: (withEntries: boolean) => WriteId
}

/**
 * Gathers the effects of one step. All that must be durable goes into ONE write effect, together with the messages
 * that promise it: whoever answers by `respond` can't overtake a hard state or entries of the same step.
 */
export class Outbox {
  #effects: RaftEffect[] = []
  #hardStateChanged = false
  #entries: readonly Entry[] = NO_ENTRIES
  #unlocks: RaftMessage[] = []

  /** Any effect except a write. */
  emit(effect: Exclude<RaftEffect, { readonly kind: 'write' }>): void {
    this.#effects.push(effect)
  }

  /** Sends now. For messages that promise nothing about this node's disk. */
  send(message: RaftMessage): void {
    this.#effects.push({ kind: 'send', message })
  }

  /** Sends once the write of this step is durable; there must be one. */
  sendOnceWritten(message: RaftMessage): void {
    assert(this.hasWrite, 'a promise waits for the write that makes it true')
    this.#unlocks.push(message)
  }

  /** Sends behind the write of this step, or at once when this step writes nothing. */
  respond(message: RaftMessage): void {
    if (this.hasWrite) this.#unlocks.push(message)
    else this.send(message)
  }

  /** The term or the vote changed. */
  writeHardState(): void {
    this.#hardStateChanged = true
  }

  /** These entries were appended to the log. Once a step at most. */
  writeEntries(entries: readonly Entry[]): void {
    assert(this.#entries.length === 0, 'a step appends once at most')
    this.#entries = entries
  }

  /** True when this step has something to write so far. */
  get hasWrite(): boolean {
    return this.#hardStateChanged || this.#entries.length > 0
  }

  /** Hands over everything gathered since the last call. The write comes first: the disk is the slowest part. */
  take(context: WriteContext): RaftEffect[] {
    const effects = this.#effects
    this.#effects = []
    if (!this.hasWrite) return effects
    effects.unshift({
      kind: 'write',
      writeId: context.beginWrite(this.#entries.length > 0),
      term: context.term,
      hardState: this.#hardStateChanged ? context.hardState : undefined,
      entries: this.#entries,
      unlocks: this.#unlocks,
    })
    this.#hardStateChanged = false
    this.#entries = NO_ENTRIES
    this.#unlocks = []
    return effects
  }
}
