import type { Prng } from '../../src/base/index.ts'
import type { Operation, Scalar } from '../../src/history/index.ts'

/** Hot keys that are in use at a time, over both participants. Few, so that transactions meet. */
export const KEYS = 6
/** After so many appends come new keys: lists stay short. */
export const APPENDS_PER_GENERATION = KEYS * 12
const OPERATIONS_MAX = 4

/** What a worker does next. */
export interface Plan {
  /**
   * `transaction`: one after the other, in branches. `scan`: all keys in use, by their ranges, in a transaction. `alone`: one
   * operation by itself, outside of transactions.
   */
  readonly kind: 'transaction' | 'scan' | 'alone'
  readonly operations: readonly Operation[]
  readonly generation: number
}

/** The keys of a generation. They take turns between the participants. */
export function keysOf(generation: number): readonly number[] {
  return Array.from({ length: KEYS }, (_, at) => generation * KEYS + at)
}

/** Which of `stores` participants holds a key. */
export function storeOf(key: Scalar, stores: number): number {
  return Number(key) % stores
}

/** What the participant calls a key. All of a generation have one prefix. */
export function nameOf(key: Scalar): string {
  return `${prefixOf(Math.floor(Number(key) / KEYS))}${key}`
}

export function prefixOf(generation: number): string {
  return `list/${generation}/`
}

/** All keys of a generation, read in one transaction. */
export function scanPlan(generation: number): Plan {
  const operations = keysOf(generation).map((key): Operation => ({ kind: 'read', key, list: undefined }))
  return { kind: 'scan', operations, generation }
}

/** @param element gives an element that was never used */
export function makePlan(prng: Prng, generation: number, stores: number, element: () => number): Plan {
  const keys = keysOf(generation)
  const operation = (): Operation => {
    const key = prng.pick(keys)
    return prng.chance(0.5) ? { kind: 'append', key, value: element() } : { kind: 'read', key, list: undefined }
  }
  if (prng.chance(0.15)) return { kind: 'alone', operations: [operation()], generation }
  if (prng.chance(0.1)) return scanPlan(generation)
  const operations = Array.from({ length: prng.between(1, OPERATIONS_MAX) }, operation)
  // A few take their locks in any order, and so meet in deadlocks.
  if (prng.chance(0.8)) operations.sort((a, b) => placeOf(a, stores) - placeOf(b, stores))
  return { kind: 'transaction', operations, generation }
}

/** Participants first, then keys; operations on one key stay in their order. */
function placeOf({ key }: Operation, stores: number): number {
  return storeOf(key, stores) * 1e9 + Number(key)
}
