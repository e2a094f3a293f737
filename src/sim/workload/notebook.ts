import type { Txid } from '../../base/index.ts'
import type { Attempt } from '../oracle/index.ts'
import type { Operation } from './operation.ts'

/**
 * How far an operation has come:
 *
 * - `running`: its present attempt is under way, in this run of the application or in one that died;
 * - `asking`: nobody knows what became of its present attempt;
 * - `waiting`: its last attempt was aborted, and another one may follow.
 */
export type Progress = 'running' | 'asking' | 'waiting' | Result

/** `lost`: only its one database knows, and the application that could ask is gone. */
export type Result = 'committed' | 'refused' | 'gaveUp' | 'lost'

/** An operation as an application keeps it on its own disk: a crash forgets nothing of it. */
export interface Entry {
  readonly operation: Operation
  progress: Progress
  attempts: number
  /** The present attempt, from the moment its txid is known. */
  current: (Attempt & { readonly txid: Txid }) | undefined
  /** It has a single branch: coordinators never hear of it. */
  readonly isLone: boolean
}

export function isOpen({ progress }: Entry): boolean {
  return progress === 'running' || progress === 'asking' || progress === 'waiting'
}
