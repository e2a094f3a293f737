import type { Prng } from '../../base/index.ts'
import type { FleetView, World } from '../kernel/types.ts'
import type { Oracle } from '../oracle/index.ts'
import type { Operation } from './operation.ts'
import type { Place } from './place.ts'

/** What applications that move money work for. */
export interface Bank {
  readonly world: World
  readonly fleet: FleetView
  readonly oracle: Oracle
  readonly places: readonly Place[]
  /** False: nothing new is begun. */
  readonly isLoading: boolean
  /** No trouble but what comes from outside: no application ends by itself. */
  readonly isCalm: boolean
  /** Average pause of one application between two operations. */
  readonly pauseMs: number
  readonly nextOperation: (random: Prng) => Operation
  /** An audit has committed; `sum` is what it saw. */
  audited(txid: string, sum: number): void
  /** For the report. */
  count(what: string): void
}
