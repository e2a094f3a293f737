import { assert } from '../base/index.ts'
import { lower, offset } from './positions.ts'
import {
  type Entry,
  EntryKind,
  type HardState,
  type LogIndex,
  NO_INDEX,
  type RaftEffect,
  type RaftMessage,
  type Term,
  type WriteEffect,
  type WriteId,
} from './types.ts'

const NO_ENTRIES: readonly Entry[] = []

/** What the outbox has to know of the node when a step ends. */
interface WriteContext {
  readonly hardState: HardState
  readonly term: Term
  /** Numbers a write, which makes the log durable up to `lastIndex`, or NO_INDEX when it holds no entries. */
  readonly beginWrite: (lastIndex: LogIndex) => WriteId
}

/**
 * Gathers the effects of one step. All that must be durable goes into write effects, the last of them together with
 * the messages that promise it: whoever answers by `respond` can't overtake a hard state or entries of the same step.
 */
export class Outbox {
  #effects: RaftEffect[] = []
  #hardStateChanged = false
  #commitIndexWanted = false
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

  /** A configuration came in force: that it is committed must be on disk behind the entries of this step. */
  writeCommitIndex(): void {
    this.#commitIndexWanted = true
  }

  /** True when this step has something to write so far. */
  get hasWrite(): boolean {
    return this.#hardStateChanged || this.#commitIndexWanted || this.#entries.length > 0
  }

  /** Hands over everything gathered since the last call. The writes come first: the disk is the slowest part. */
  take(context: WriteContext): RaftEffect[] {
    const effects = this.#effects
    this.#effects = []
    if (!this.hasWrite) return effects
    effects.unshift(...this.#takeWrites(context))
    return effects
  }

  /**
   * Nearly always one write. Each configuration entry begins another, whose hard state says how much is committed: no
   * configuration is ever on disk without the proof that the one before it is in force. The messages wait for the last.
   */
  #takeWrites(context: WriteContext): WriteEffect[] {
    const parts = partsOf(this.#entries)
    const before = parts.map((entries, at) => {
      const isWanted = at === 0 && (this.#hardStateChanged || this.#commitIndexWanted)
      const isNeeded = entries[0]?.kind === EntryKind.configuration
      return isWanted || isNeeded ? hardStateBefore(entries, context.hardState) : undefined
    })
    if (this.#commitIndexWanted && before.at(-1)?.commitIndex !== context.hardState.commitIndex) {
      // The hard state before the entries could not call them committed yet.
      parts.push(NO_ENTRIES)
      before.push(context.hardState)
    }
    const unlocks = this.#unlocks
    const writes = parts.map(
      (entries, at): WriteEffect => ({
        kind: 'write',
        writeId: context.beginWrite(entries.at(-1)?.index ?? NO_INDEX),
        term: context.term,
        hardState: before[at],
        entries,
        unlocks: at === parts.length - 1 ? unlocks : [],
      }),
    )
    this.#commitIndexWanted = false
    this.#hardStateChanged = false
    this.#entries = NO_ENTRIES
    this.#unlocks = []
    return writes
  }
}

/**
 * The hard state goes to disk before its entries, and a crash may come in between. So it must not call committed what
 * it writes itself: on disk there may still be an uncommitted entry of another leader at that index.
 */
function hardStateBefore(entries: readonly Entry[], hardState: HardState): HardState {
  const [first] = entries
  if (first === undefined) return hardState
  return { ...hardState, commitIndex: lower(hardState.commitIndex, offset(first.index, -1)) }
}

/** Cuts `entries` before each configuration entry. At least one part, of no entries if there are none. */
function partsOf(entries: readonly Entry[]): (readonly Entry[])[] {
  const parts: (readonly Entry[])[] = []
  let begin = 0
  for (let at = 1; at < entries.length; at++) {
    if (entries[at]!.kind !== EntryKind.configuration) continue
    parts.push(entries.slice(begin, at))
    begin = at
  }
  parts.push(begin === 0 ? entries : entries.slice(begin))
  return parts
}
