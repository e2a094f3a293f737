import type { KvValue } from '../constraints/index.ts'
import type { ScanOptions, ScanResult } from '../engine/branch.ts'
import { KvInvalidError } from '../engine/errors.ts'
import { dataKey, dataSpan } from '../engine/keys.ts'
import { encodeValue } from '../engine/values.ts'
import { type KvAnswer, type KvStatement, VALUE_BYTES_MAX } from '../wire/index.ts'

/** Checks a statement before it is sent, so that a mistake costs no branch at the participant. @throws KvInvalidError */
export function checked(statement: KvStatement): KvStatement {
  if (statement.kind === 'scan') {
    const { from, to, prefix, limit } = statement
    dataSpan({
      ...(from !== undefined && { from }),
      ...(to !== undefined && { to }),
      ...(prefix !== undefined && { prefix }),
    })
    if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1 && limit <= SCAN_LIMIT_MAX)) {
      throw new KvInvalidError(`limit is ${limit}; use a whole number from 1 to ${SCAN_LIMIT_MAX}`)
    }
    return statement
  }
  dataKey(statement.key)
  if (statement.kind === 'add' && !Number.isFinite(statement.amount)) {
    throw new KvInvalidError(`an amount is ${statement.amount}; nothing was done. Use a finite number`)
  }
  if (statement.kind === 'put') checkValue(statement.value)
  if (statement.kind === 'compareAndSet') {
    for (const value of [statement.expected, statement.value]) if (value !== undefined) checkValue(value)
  }
  return statement
}

const SCAN_LIMIT_MAX = 10_000

export function scanStatement({ from, to, prefix, limit }: Omit<ScanOptions, 'bytes'>): KvStatement {
  return { kind: 'scan', from, to, prefix, limit }
}

/** What an answer says to a statement's caller. */
export const resultOf = {
  value: (answer: KvAnswer): KvValue | undefined => (answer.kind === 'value' ? answer.value : undefined),
  flag: (answer: KvAnswer): boolean => answer.kind === 'flag' && answer.flag,
  page: (answer: KvAnswer): ScanResult =>
    answer.kind === 'page' ? { entries: answer.entries, next: answer.next } : { entries: [], next: undefined },
}

function checkValue(value: KvValue): void {
  const { length } = encodeValue(value)
  if (length <= VALUE_BYTES_MAX) return
  throw new KvInvalidError(
    `a value takes ${length} bytes, and at most ${VALUE_BYTES_MAX} can be sent; nothing was done. Split it over several keys`,
  )
}
