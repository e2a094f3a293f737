import { assert } from '../base/index.ts'
import type { AbortReason, Outcome } from './types.ts'

/**
 * Every abort reason; its place is its number in log entries (command-codec.ts) and in outcome words.
 * Append only: a reason that moves changes what old logs say.
 */
export const ABORT_REASONS = [
  'votedAbort',
  'deadline',
  'requested',
  'presumed',
  'unreachable',
] as const satisfies readonly AbortReason[]

/** The one outcome that needs no details; shared, so that a million commits make no objects. */
export const COMMITTED: Outcome = { kind: 'committed' }

const COMMITTED_WORD = 1
/** An aborted word is this plus the reason's number, with the participant's number above the low byte. */
const ABORTED_WORD = 2
const NAME_SHIFT = 8

/** How many participant names finished transactions may refer to. Past it the reason stays and the name is dropped. */
export const NAMES_MAX = 1023
/** Longer names are not kept: together with NAMES_MAX it bounds what strangers' names can occupy. */
export const NAME_UNITS_MAX = 128

/**
 * Packs an outcome into one 32-bit word: a finished transaction must not cost an object.
 *
 * ```
 *  31            8 7        0
 * +---------------+----------+
 * | participant   | outcome  |   outcome: 0 none (an empty slot), 1 committed, 2 + n aborted for reason n
 * +---------------+----------+   participant: 0 none, n the n-th name ever packed
 * ```
 *
 * The numbering follows the order of commands, so equal logs give equal words; a snapshot must carry the names.
 */
export class OutcomeWords {
  readonly #names: string[] = []
  readonly #numbers = new Map<string, number>()

  /** The names that words refer to, in the order of their numbers. */
  get names(): readonly string[] {
    return this.#names
  }

  /** Gives the next number to `name`. False: no state has it there, because it is too long, known already or one too many. */
  restoreName(name: string): boolean {
    if (name.length > NAME_UNITS_MAX || this.#numbers.has(name) || this.#names.length === NAMES_MAX) return false
    this.#names.push(name)
    this.#numbers.set(name, this.#names.length)
    return true
  }

  /** Whether `pack` could have given this word. */
  has(word: number): boolean {
    if (word === COMMITTED_WORD) return true
    const reason = (word & 0xff) - ABORTED_WORD
    return reason >= 0 && reason < ABORT_REASONS.length && word >>> NAME_SHIFT <= this.#names.length
  }

  pack(outcome: Outcome): number {
    if (outcome.kind === 'committed') return COMMITTED_WORD
    const reason = ABORT_REASONS.indexOf(outcome.reason)
    assert(reason >= 0, 'every abort reason has a number')
    return (ABORTED_WORD + reason) | (this.#numberOf(outcome.participant) << NAME_SHIFT)
  }

  unpack(word: number): Outcome {
    const low = word & 0xff
    if (low === COMMITTED_WORD) return COMMITTED
    const reason = ABORT_REASONS[low - ABORTED_WORD]
    assert(reason !== undefined, 'an outcome word has a reason that exists')
    // Number 0 has no name: index -1 gives undefined.
    return { kind: 'aborted', reason, participant: this.#names[(word >>> NAME_SHIFT) - 1] }
  }

  #numberOf(name: string | undefined): number {
    if (name === undefined || name.length > NAME_UNITS_MAX) return 0
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    if (this.#names.length === NAMES_MAX) return 0
    this.#names.push(name)
    this.#numbers.set(name, this.#names.length)
    return this.#names.length
  }
}
