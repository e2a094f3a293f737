/** Services that take part in transactions: what they import as `concordat/participant`. */
export { BRANCH_HEADER, type BranchTicket, ConcordatError, MalformedIdError, type Txid } from '../base/index.ts'
export { InvalidOptionsError, type Logger } from '../client/index.ts'
export * from './kv/index.ts'
export * from './service/index.ts'
export * from './sql-journal/index.ts'
