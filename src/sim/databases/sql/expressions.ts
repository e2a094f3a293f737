import type { Expression, Operator } from './syntax.ts'
import type { TokenReader } from './token-reader.ts'

/** or < and < not < comparison < + - < * < cast < primary */
export function parseExpression(reader: TokenReader): Expression {
  let left = parseAnd(reader)
  while (reader.takeWord('or')) left = binary('or', left, parseAnd(reader))
  return left
}

function parseAnd(reader: TokenReader): Expression {
  let left = parseNot(reader)
  while (reader.takeWord('and')) left = binary('and', left, parseNot(reader))
  return left
}

function parseNot(reader: TokenReader): Expression {
  return reader.takeWord('not') ? { kind: 'not', of: parseNot(reader) } : parseComparison(reader)
}

const COMPARISONS = new Map<string, Operator>([
  ['=', '='],
  ['<>', '<>'],
  ['!=', '<>'],
  ['<', '<'],
  ['<=', '<='],
  ['>', '>'],
  ['>=', '>='],
])

function parseComparison(reader: TokenReader): Expression {
  const left = parseSum(reader)
  if (reader.takeWord('is')) {
    const negated = reader.takeWord('not')
    reader.expectWord('null')
    return { kind: 'isNull', of: left, negated }
  }
  if (reader.takeWord('in')) {
    reader.expectSymbol('(')
    const among = reader.list(() => parseExpression(reader))
    reader.expectSymbol(')')
    return { kind: 'in', of: left, among }
  }
  const operator = reader.next.kind === 'symbol' ? COMPARISONS.get(reader.next.text) : undefined
  if (operator === undefined) return left
  reader.advance()
  return binary(operator, left, parseSum(reader))
}

function parseSum(reader: TokenReader): Expression {
  let left = parseProduct(reader)
  for (;;) {
    if (reader.takeSymbol('+')) left = binary('+', left, parseProduct(reader))
    else if (reader.takeSymbol('-')) left = binary('-', left, parseProduct(reader))
    else return left
  }
}

function parseProduct(reader: TokenReader): Expression {
  let left = parseCast(reader)
  while (reader.takeSymbol('*')) left = binary('*', left, parseCast(reader))
  return left
}

function parseCast(reader: TokenReader): Expression {
  let of = parsePrimary(reader)
  while (reader.takeSymbol('::')) of = { kind: 'cast', of, type: reader.word() }
  return of
}

function parsePrimary(reader: TokenReader): Expression {
  const { kind, text } = reader.next
  if (kind === 'number') return { kind: 'literal', value: reader.number() }
  if (kind === 'string') return { kind: 'literal', value: reader.advance().text }
  if (kind === 'symbol') return parseSymbol(reader)
  if (kind === 'end') throw reader.mistake()
  const name = reader.name()
  if (kind === 'word' && text in CONSTANTS) return { kind: 'literal', value: CONSTANTS[text]! }
  if (!reader.takeSymbol('('))
    return kind === 'word' && text.startsWith('@@') ? call(text, []) : { kind: 'column', name }
  return parseCall(reader, name)
}

const CONSTANTS: Readonly<Record<string, null | boolean>> = { null: null, true: true, false: false }

function parseSymbol(reader: TokenReader): Expression {
  const { text } = reader.next
  if (text.startsWith('$')) {
    reader.advance()
    return { kind: 'parameter', index: Number(text.slice(1)) - 1 }
  }
  if (reader.takeSymbol('?')) return { kind: 'parameter', index: reader.nextParameter() }
  if (reader.takeSymbol('-')) return binary('-', { kind: 'literal', value: 0 }, parseCast(reader))
  reader.expectSymbol('(')
  const inner = parseExpression(reader)
  reader.expectSymbol(')')
  return inner
}

function parseCall(reader: TokenReader, name: string): Expression {
  if (reader.takeSymbol(')')) return call(name, [])
  if (reader.takeSymbol('*')) {
    reader.expectSymbol(')')
    return call(name, [])
  }
  // extract(epoch FROM x)
  if (name === 'extract') {
    reader.expectWord('epoch')
    reader.expectWord('from')
  }
  const args = reader.list(() => parseExpression(reader))
  reader.expectSymbol(')')
  return call(name, args)
}

function call(name: string, args: readonly Expression[]): Expression {
  return { kind: 'call', name, args }
}

function binary(operator: Operator, left: Expression, right: Expression): Expression {
  return { kind: 'binary', operator, left, right }
}
