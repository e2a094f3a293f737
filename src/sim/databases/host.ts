import type { Clock, Prng } from '../../base/index.ts'
import type { Channels } from '../kernel/types.ts'

/** What a simulated server or driver needs of the process that it lives in; a `SimProcess` has all of it. */
export interface Host {
  readonly clock: Clock
  readonly channels: Channels
  readonly random: Prng
  readonly alive: boolean
}

/** A rare branch was reached. */
export type Mark = (name: string) => void

/** Hears what becomes of prepared branches, in the moment in which it happens. */
export interface DatabaseObserver {
  prepared(gid: string): void
  ended(gid: string, how: 'committed' | 'aborted'): void
  /** It wrote nothing, so it vanished with its session or in a crash. */
  emptied(gid: string): void
}

export const nobodyObserves: DatabaseObserver = { prepared() {}, ended() {}, emptied() {} }

/** From low to high, both included, milliseconds. */
export type Span = readonly [low: number, high: number]

/**
 * What a server does wrong by itself, besides what happens to its process and its network. A schedule may change it at any time.
 * Chances count for each request.
 */
export interface ServerFaults {
  /** It takes its time. */
  slowChance: number
  slowMs: Span
  /** The connection breaks before the request is carried out. */
  loseRequestChance: number
  /** The connection breaks after the request was carried out, before its answer. */
  loseAnswerChance: number
  /** An administrator ends the session before the request is carried out. */
  terminateChance: number
  /** No connection is left for a newcomer. */
  refuseChance: number
  /** How long a COMMIT or ROLLBACK of a prepared branch takes: others find it busy. */
  settleMs: Span
}

/** A server without a fault of its own. */
export function noFaults(): ServerFaults {
  return {
    slowChance: 0,
    slowMs: [0, 0],
    loseRequestChance: 0,
    loseAnswerChance: 0,
    terminateChance: 0,
    refuseChance: 0,
    settleMs: [0, 0],
  }
}
