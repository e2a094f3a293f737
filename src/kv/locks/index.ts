export { type LockEffect, LockManager } from './lock-manager.ts'
export type { HeldLock, LockMode, LockSize } from './lock-request.ts'
export { OrderedMap } from './ordered-map.ts'
export { keySpan, rangeSpan, type Span, spanBytes } from './span.ts'
