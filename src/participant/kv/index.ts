export { type KvConfig, kvConfigSchema, optionsOf } from './config.ts'
export { KeyValueParticipant, keyValueParticipant } from './key-value-participant.ts'
export { KvNameChangedError } from './name-file.ts'
export type { KeyValueLimits, KeyValueParticipantOptions } from './options.ts'
