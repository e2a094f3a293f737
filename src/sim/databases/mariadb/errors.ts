import { SqlError } from '../sql/index.ts'
import { LockError } from '../store/index.ts'
import type { MyFailure } from './protocol.ts'

type Form = readonly [errno: number, code: string, sqlState: string, say: (what: string) => string]

const FORMS = {
  nota: [1397, 'ER_XAER_NOTA', 'XAE04', () => 'XAER_NOTA: Unknown XID'],
  inval: [1398, 'ER_XAER_INVAL', 'XAE05', () => 'XAER_INVAL: Invalid arguments (or unsupported command)'],
  rmfail: [
    1399,
    'ER_XAER_RMFAIL',
    'XAE07',
    (state) => `XAER_RMFAIL: The command cannot be executed when global transaction is in the  ${state} state`,
  ],
  outside: [1400, 'ER_XAER_OUTSIDE', 'XAE09', () => 'XAER_OUTSIDE: Some work is done outside global transaction'],
  rolledBack: [1402, 'ER_XA_RBROLLBACK', 'XA100', () => 'XA_RBROLLBACK: Transaction branch was rolled back'],
  dupid: [1440, 'ER_XAER_DUPID', 'XAE08', () => 'XAER_DUPID: The XID already exists'],
  rbDeadlock: [
    1614,
    'ER_XA_RBDEADLOCK',
    'XA102',
    () => 'XA_RBDEADLOCK: Transaction branch was rolled back: deadlock was detected',
  ],
  noSavepoint: [1305, 'ER_SP_DOES_NOT_EXIST', '42000', (name) => `SAVEPOINT ${name} does not exist`],
  tooMany: [1040, 'ER_CON_COUNT_ERROR', '08004', () => 'Too many connections'],
  killed: [1927, 'ER_CONNECTION_KILLED', '70100', () => 'Connection was killed'],
} satisfies Record<string, Form>

/** A refusal in MariaDB's own words. */
export class MyRefusal extends Error {
  readonly failure: MyFailure

  constructor(kind: keyof typeof FORMS, what = '') {
    const failure = failureFor(FORMS[kind], what)
    super(failure.message)
    this.failure = failure
  }
}

const SQL: Readonly<Record<SqlError['reason'], Form>> = {
  syntax: [1064, 'ER_PARSE_ERROR', '42000', (what) => `You have an error in your SQL syntax near '${what}'`],
  noTable: [1146, 'ER_NO_SUCH_TABLE', '42S02', (what) => `Table '${what}' doesn't exist`],
  noColumn: [1054, 'ER_BAD_FIELD_ERROR', '42S22', (what) => `Unknown column '${what}'`],
  noFunction: [1305, 'ER_SP_DOES_NOT_EXIST', '42000', (what) => `FUNCTION ${what} does not exist`],
  duplicateKey: [1062, 'ER_DUP_ENTRY', '23000', (what) => `Duplicate entry '${what}'`],
  tableExists: [1050, 'ER_TABLE_EXISTS_ERROR', '42S01', (what) => `Table '${what}' already exists`],
  badValue: [1366, 'ER_TRUNCATED_WRONG_VALUE_FOR_FIELD', '22007', (what) => `Incorrect integer value: '${what}'`],
}

const LOCKS: Readonly<Record<LockError['reason'], Form>> = {
  deadlock: [1213, 'ER_LOCK_DEADLOCK', '40001', () => 'Deadlock found when trying to get lock; try restarting'],
  timeout: [1205, 'ER_LOCK_WAIT_TIMEOUT', 'HY000', () => 'Lock wait timeout exceeded; try restarting transaction'],
  noWait: [1205, 'ER_LOCK_WAIT_TIMEOUT', 'HY000', () => 'Lock wait timeout exceeded; try restarting transaction'],
  killed: FORMS.killed,
}

/** An error of the store or the parser as MariaDB sends it. @throws whatever is none of these: a mistake of the simulator */
export function failureOf(thrown: unknown): MyFailure {
  if (thrown instanceof MyRefusal) return thrown.failure
  if (thrown instanceof LockError) return failureFor(LOCKS[thrown.reason], '')
  if (thrown instanceof SqlError) return failureFor(SQL[thrown.reason], thrown.what)
  throw thrown
}

export const KILLED = failureFor(FORMS.killed, '')

function failureFor([errno, code, sqlState, say]: Form, what: string): MyFailure {
  return { errno, code, sqlState, message: say(what) }
}
