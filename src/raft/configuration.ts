import type { NodeId } from '../base/index.ts'
import type { Configuration } from './types.ts'

/** A configuration of these members that is not being changed. */
export function simpleConfiguration(voters: readonly NodeId[], learners: readonly NodeId[] = []): Configuration {
  return { voters, votersOutgoing: [], learners, learnersNext: [], rebuilding: [], retired: [] }
}
