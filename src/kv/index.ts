export type { KvValue, Rule, Violation } from './constraints/index.ts'
export * from './engine/index.ts'
export {
  type Deadlock,
  type HeldLock,
  keySpan,
  type LockEffect,
  LockManager,
  type LockMode,
  rangeSpan,
  type Span,
  WaitForGraph,
} from './locks/index.ts'
