export { DeadlockDetector, type DeadlockStatus } from './deadlock-detector.ts'
export type { Verdict, WaitSource } from './wait-book.ts'
