import { SqlError } from '../sql/index.ts'
import { LockError } from '../store/index.ts'
import type { PgFailure } from './protocol.ts'

/** A refusal in PostgreSQL's own words. */
export class PgRefusal extends Error {
  readonly failure: PgFailure

  constructor(code: string, message: string, severity: PgFailure['severity'] = 'ERROR') {
    super(message)
    this.failure = { severity, code, message }
  }
}

const SQL: Readonly<Record<SqlError['reason'], readonly [string, (what: string) => string]>> = {
  syntax: ['42601', (what) => `syntax error at or near "${what}"`],
  noTable: ['42P01', (what) => `relation "${what}" does not exist`],
  noColumn: ['42703', (what) => `column "${what}" does not exist`],
  noFunction: ['42883', (what) => `function ${what}() does not exist`],
  duplicateKey: ['23505', (what) => `duplicate key value violates unique constraint: ${what}`],
  tableExists: ['42P07', (what) => `relation "${what}" already exists`],
  badValue: ['22P02', (what) => `invalid input syntax for type integer: "${what}"`],
}

const LOCKS: Readonly<Record<LockError['reason'], PgFailure>> = {
  deadlock: { severity: 'ERROR', code: '40P01', message: 'deadlock detected' },
  timeout: { severity: 'ERROR', code: '55P03', message: 'canceling statement due to lock timeout' },
  noWait: { severity: 'ERROR', code: '55P03', message: 'could not obtain lock on row' },
  killed: {
    severity: 'FATAL',
    code: '57P01',
    message: 'terminating connection due to administrator command',
  },
}

/** An error of the store or the parser as PostgreSQL sends it. @throws whatever is none of these: a mistake of the simulator */
export function failureOf(thrown: unknown, offset = 0): PgFailure {
  if (thrown instanceof PgRefusal) return thrown.failure
  if (thrown instanceof LockError) return LOCKS[thrown.reason]
  if (!(thrown instanceof SqlError)) throw thrown
  const [code, say] = SQL[thrown.reason]
  const failure: PgFailure = { severity: 'ERROR', code, message: say(thrown.what) }
  return thrown.reason === 'syntax' ? { ...failure, position: String(offset + thrown.offset + 1) } : failure
}

export const TERMINATED = LOCKS.killed
