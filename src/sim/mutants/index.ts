import { CONSENSUS_MUTANTS } from './consensus.ts'
import type { Mutant } from './mutant.ts'
import { PARTICIPANT_MUTANTS } from './participants.ts'
import { PROTOCOL_MUTANTS } from './protocol.ts'
import { STORAGE_MUTANTS } from './storage.ts'

export { applyEdit, type Edit, type Mutant } from './mutant.ts'

/** Every known mistake that the simulator must find. */
export const MUTANTS: readonly Mutant[] = [
  ...CONSENSUS_MUTANTS,
  ...STORAGE_MUTANTS,
  ...PROTOCOL_MUTANTS,
  ...PARTICIPANT_MUTANTS,
]
