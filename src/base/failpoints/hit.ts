import { assert } from '../assert.ts'
import type { FailpointName } from './table.ts'

/** What the code knows of the step at a point. */
export interface FailpointHit {
  readonly name: FailpointName
  /** Counts the hits of this name since it was armed, from 1. */
  readonly nth: number
  /** The transaction, where the step belongs to one. */
  readonly txid: string | undefined
  /** Where the step happens, when it is not in this process: the name of a database. */
  readonly place: string | undefined
}

/**
 * Called at every point that is reached, in the middle of the step. A real process ends here. In the simulator the handler
 * takes the process away from its world, and what the code still does to its next await changes nothing any more.
 */
export type FailpointHandler = (hit: FailpointHit) => void

interface Armed {
  readonly handler: FailpointHandler
  readonly counts: Map<FailpointName, number>
}

/** The only state: undefined in every process that nobody tests, so a point costs one comparison. */
let armed: Armed | undefined

/**
 * Says that this process has come to a point. Nothing happens unless a handler is armed.
 *
 * @param txid the transaction, where the step belongs to one
 * @param place the database, where the step is a statement to one
 */
export function hit(name: FailpointName, txid?: string, place?: string): void {
  if (armed !== undefined) reach(armed, name, txid, place)
}

/** Whether somebody listens: look before working out which point it is. */
export function isArmed(): boolean {
  return armed !== undefined
}

/**
 * Calls `handler` at each point that is reached from now on, in this whole thread: one handler at a time.
 * `counts` says how often each was reached; `disarm` ends it.
 */
export function armFailpoints(handler: FailpointHandler): {
  readonly counts: ReadonlyMap<FailpointName, number>
  readonly disarm: () => void
} {
  assert(armed === undefined, 'one handler of failpoints at a time')
  const mine: Armed = { handler, counts: new Map() }
  armed = mine
  return {
    counts: mine.counts,
    disarm: () => {
      if (armed === mine) armed = undefined
    },
  }
}

function reach({ handler, counts }: Armed, name: FailpointName, txid?: string, place?: string): void {
  const nth = (counts.get(name) ?? 0) + 1
  counts.set(name, nth)
  handler({ name, nth, txid, place })
}
