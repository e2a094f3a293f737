export {
  type Expectation,
  findViolation,
  type Proposal,
  type Rule,
  uniqueChanges,
  type Violation,
  type Write,
} from './constraints.ts'
export { type KvValue, sameValue } from './value.ts'
