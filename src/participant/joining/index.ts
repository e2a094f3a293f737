/** What services import to join the transactions of their callers: `concordat/joining`. */
export type { Transaction } from '../../client/index.ts'
export { Joining, joining } from './joining.ts'
export type { JoiningOptions } from './options.ts'
