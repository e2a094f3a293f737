import type { Transaction } from '../../client/index.ts'
import type { SimProcess } from '../kernel/types.ts'
import type { Attempt, FoundState } from '../oracle/index.ts'
import type { Leg } from './operation.ts'

/** Where accounts lie: a database, a store or a service. */
export interface Place {
  readonly name: string
  /** How many; they are numbered from 0. */
  readonly accounts: number
  /** How an application in `process` works here. */
  open(process: SimProcess): PlaceClient
}

/** An application's way to a place. */
export interface PlaceClient {
  /**
   * Carries out one leg of an operation in the place's branch of `tx`; what it is about to write is noted in `attempt` first.
   * Resolves to the balance that it read.
   */
  work(tx: Transaction, operation: string, leg: Leg, attempt: Attempt): Promise<number>
  /** What only databases can suffer. */
  readonly failing: FailingStatements | undefined
  close(): Promise<void>
}

/** Statements that fail; see Mischief. */
export interface FailingStatements {
  swallow(tx: Transaction, leg: Leg, attempt: Attempt): Promise<void>
  unheard(tx: Transaction, leg: Leg, attempt: Attempt): Promise<void>
  unawaited(tx: Transaction, leg: Leg): Promise<void>
}

/** A place whose content can be looked at in one step, for checks. */
export interface ExaminedPlace extends Place {
  /** What is committed. */
  found(): FoundState
  /** What somebody has locked. */
  locked(): readonly string[]
}
