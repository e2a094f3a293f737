export {
  configurationFault,
  EMPTY_CONFIGURATION,
  isJoint,
  isVoterIn,
  membersOf,
  simpleConfiguration,
  targetOf,
  votersOf,
} from './configuration.ts'
export { type ConfigurationData, decodeConfiguration, encodeConfiguration } from './configuration-codec.ts'
export { isConfirmation } from './configuration-in-force.ts'
export { ENTRY_OVERHEAD_BYTES, entriesBytes, entryBytes } from './positions.ts'
export { Raft } from './raft.ts'
export { emptyState } from './recovered.ts'
export { TermRuns } from './term-runs.ts'
export * from './types.ts'
