/** Rows, locks and transactions, as far as simulated databases need them. */
export { LockError, Locks } from './locks.ts'
export { Store } from './store.ts'
export type { Cell, Column, ColumnType, Row, Table, Value } from './table.ts'
export type { Mark, StoreTransaction } from './transaction.ts'
