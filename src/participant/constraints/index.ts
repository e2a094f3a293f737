export type { Expectation, OwnerOf, UniqueEntry } from './constraints.ts'
export { findViolation, type Proposal, type Rule, uniqueChanges, type Violation, type Write } from './constraints.ts'
export { describe, type KvValue, sameValue } from './value.ts'
