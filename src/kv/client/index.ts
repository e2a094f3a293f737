/** The key-value participant, as applications import it: `concordat/kv`. */
export { ConcordatError } from '../../base/index.ts'
export type { KvValue } from '../constraints/index.ts'
export type { ScanOptions, ScanResult } from '../engine/branch.ts'
export { KvInvalidError } from '../engine/errors.ts'
export { KvError } from './errors.ts'
export { KeyValueBranch } from './key-value-branch.ts'
export { KeyValueStore, type OnePhaseEnd } from './key-value-store.ts'
export { type KvClientOptions, kv } from './kv.ts'
