export { JournalUnusableError } from './errors.ts'
export { mysqlJournal, postgresJournal, type SqlJournalOptions } from './opening.ts'
export type { ServiceJournal } from './service-journal.ts'
