import type { Rule } from '../constraints/index.ts'
import type { LockMode, LockSize, Span } from '../locks/index.ts'
import type { Data } from './data.ts'

/** What a branch needs of the participant that it belongs to. */
export interface BranchHost {
  readonly data: Data
  readonly rules: readonly Rule[]
  readonly branchBytesMax: number
  lock(span: Span, mode: LockMode): Promise<void>
  /** What it has locked. */
  lockSize(): LockSize
  /** All that it writes comes to so many bytes now. */
  wrote(bytes: number): void
  /** An error came up in the branch: it can only abort, so its locks go at once. */
  poison(error: Error): void
}
