export { askKvStatus, type KvStatus } from './client/ask-status.ts'
export {
  KeyValueBranch,
  KeyValueStore,
  type KvClientOptions,
  KvError,
  kv,
  type OnePhaseEnd,
} from './client/index.ts'
export { LocalChannel } from './client/local-channel.ts'
export type { KvValue, Rule, Violation } from './constraints/index.ts'
export * from './engine/index.ts'
export {
  type HeldLock,
  keySpan,
  type LockEffect,
  LockManager,
  type LockMode,
  rangeSpan,
  type Span,
} from './locks/index.ts'
export { KV_PORT_LIMITS, KvDesk, KvPort, type KvPortLimits, refusalOfVote } from './port/index.ts'
