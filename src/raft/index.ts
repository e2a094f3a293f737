export { ENTRY_OVERHEAD_BYTES, entriesBytes, entryBytes } from './positions.ts'
export { Raft } from './raft.ts'
export { emptyState } from './recovered.ts'
export * from './types.ts'
