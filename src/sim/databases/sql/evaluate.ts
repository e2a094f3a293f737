import type { Row, Value } from '../store/index.ts'
import { type Expression, type Operator, SqlError } from './syntax.ts'

/** What an expression may need besides a row. */
export interface Scope {
  readonly parameters: readonly unknown[]
  /** A function of the database; undefined: there is none of this name. */
  call(name: string, args: readonly Value[]): Value | undefined
}

const NO_ROW: Row = {}

/** The value of `expression` in `row`. @throws SqlError */
export function evaluate(expression: Expression, row: Row | undefined, scope: Scope): Value {
  switch (expression.kind) {
    case 'literal':
      return expression.value
    case 'parameter':
      return parameter(scope, expression.index)
    case 'column':
      return columnOf(row ?? NO_ROW, expression.name)
    case 'call':
      return callOf(
        expression.name,
        expression.args.map((arg) => evaluate(arg, row, scope)),
        scope,
      )
    case 'cast':
      return cast(evaluate(expression.of, row, scope), expression.type)
    case 'in':
      return isAmong(evaluate(expression.of, row, scope), expression.among, row, scope)
    case 'isNull':
      return (evaluate(expression.of, row, scope) === null) !== expression.negated
    case 'not':
      return !isTrue(evaluate(expression.of, row, scope))
    case 'binary':
      return binary(expression.operator, expression.left, expression.right, row, scope)
  }
}

/** Whether a condition holds: NULL does not. */
export function isTrue(value: Value): boolean {
  return value === true || (typeof value === 'number' && value !== 0)
}

/** Every column that an expression names. */
export function columnsIn(expression: Expression, found: string[] = []): string[] {
  switch (expression.kind) {
    case 'column':
      found.push(expression.name)
      break
    case 'call':
      for (const arg of expression.args) columnsIn(arg, found)
      break
    case 'in':
      for (const item of [expression.of, ...expression.among]) columnsIn(item, found)
      break
    case 'cast':
    case 'isNull':
    case 'not':
      columnsIn(expression.of, found)
      break
    case 'binary':
      columnsIn(expression.left, found)
      columnsIn(expression.right, found)
      break
    default:
      break
  }
  return found
}

function parameter(scope: Scope, index: number): Value {
  if (index >= scope.parameters.length) throw new SqlError('syntax', `parameter ${index + 1} is missing`)
  return (scope.parameters[index] ?? null) as Value
}

function columnOf(row: Row, name: string): Value {
  const value = row[name]
  if (value === undefined) throw new SqlError('noColumn', name)
  return value
}

function callOf(name: string, args: readonly Value[], scope: Scope): Value {
  const value = scope.call(name, args)
  if (value === undefined) throw new SqlError('noFunction', name)
  return value
}

function cast(value: Value, type: string): Value {
  if (value === null) return null
  return type === 'text' || type === 'xid8' ? String(value) : Number(value)
}

function isAmong(value: Value, among: readonly Expression[], row: Row | undefined, scope: Scope): boolean {
  return among.some((item) => {
    // mysql2 spreads an array over one question mark.
    const given = item.kind === 'parameter' ? scope.parameters[item.index] : evaluate(item, row, scope)
    const list = Array.isArray(given) ? (given as Value[]) : [given as Value]
    return list.some((one) => compare(value, one) === 0)
  })
}

function binary(operator: Operator, left: Expression, right: Expression, row: Row | undefined, scope: Scope): Value {
  const a = evaluate(left, row, scope)
  if (operator === 'and') return isTrue(a) && isTrue(evaluate(right, row, scope))
  if (operator === 'or') return isTrue(a) || isTrue(evaluate(right, row, scope))
  const b = evaluate(right, row, scope)
  if (a === null || b === null) return null
  switch (operator) {
    case '+':
      return Number(a) + Number(b)
    case '-':
      return Number(a) - Number(b)
    case '*':
      return Number(a) * Number(b)
    case '=':
      return compare(a, b) === 0
    case '<>':
      return compare(a, b) !== 0
    case '<':
      return compare(a, b) < 0
    case '<=':
      return compare(a, b) <= 0
    case '>':
      return compare(a, b) > 0
    case '>=':
      return compare(a, b) >= 0
  }
}

/** Numbers as numbers when either is one; else texts. */
export function compare(a: Value, b: Value): number {
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0
  return Number(a) - Number(b)
}
