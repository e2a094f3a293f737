export { type HeldLock, type LockEffect, LockManager, type LockMode } from './lock-manager.ts'
export { OrderedMap } from './ordered-map.ts'
export { keySpan, rangeSpan, type Span } from './span.ts'
export { type Deadlock, WaitForGraph } from './wait-for-graph.ts'
