import type { Column, ColumnType } from '../store/index.ts'
import { parseExpression } from './expressions.ts'
import { type Select, type SelectItem, SqlError, type Statement } from './syntax.ts'
import { TokenReader } from './token-reader.ts'

/** Statements with parameters come again and again; those with a txid in them do not, so the cache is emptied when it is full. */
const CACHE_MAX = 1_000
const cache = new Map<string, Statement>()

/** Parses one statement. @throws SqlError */
export function parse(text: string): Statement {
  const known = cache.get(text)
  if (known !== undefined) return known
  const statement = parseStatement(new TokenReader(text))
  if (cache.size >= CACHE_MAX) cache.clear()
  cache.set(text, statement)
  return statement
}

function parseStatement(reader: TokenReader): Statement {
  const statement = parseByFirstWord(reader)
  reader.expectEnd()
  return statement
}

function parseByFirstWord(reader: TokenReader): Statement {
  if (reader.takeWord('select')) return parseSelect(reader)
  if (reader.takeWord('insert')) return parseInsert(reader)
  if (reader.takeWord('update')) return parseUpdate(reader)
  if (reader.takeWord('delete')) return parseDelete(reader)
  if (reader.takeWord('create')) return parseCreateTable(reader)
  throw reader.mistake()
}

function parseSelect(reader: TokenReader): Select {
  const items = reader.list(() => parseItem(reader))
  const from = reader.takeWord('from') ? reader.name() : undefined
  const where = reader.takeWord('where') ? parseExpression(reader) : undefined
  let orderBy: string | undefined
  if (reader.takeWord('order')) {
    reader.expectWord('by')
    orderBy = reader.name()
  }
  const limit = reader.takeWord('limit') ? reader.number() : undefined
  return { kind: 'select', items, from, where, orderBy, limit, lock: parseLock(reader) }
}

function parseLock(reader: TokenReader): Select['lock'] {
  if (!reader.takeWord('for')) return 'none'
  reader.expectWord('update')
  return reader.takeWord('nowait') ? 'noWait' : 'wait'
}

function parseItem(reader: TokenReader): SelectItem {
  if (reader.takeSymbol('*')) return { expression: undefined, alias: undefined, text: '*' }
  const start = reader.position
  const expression = parseExpression(reader)
  const text = reader.textSince(start)
  const alias = reader.takeWord('as') ? reader.name() : undefined
  return { expression, alias, text }
}

function parseInsert(reader: TokenReader): Statement {
  reader.expectWord('into')
  const table = reader.name()
  let columns: string[] | undefined
  if (reader.takeSymbol('(')) {
    columns = reader.list(() => reader.name())
    reader.expectSymbol(')')
  }
  reader.expectWord('values')
  const rows = reader.list(() => {
    reader.expectSymbol('(')
    const row = reader.list(() => parseExpression(reader))
    reader.expectSymbol(')')
    return row
  })
  return { kind: 'insert', table, columns, rows }
}

function parseUpdate(reader: TokenReader): Statement {
  const table = reader.name()
  reader.expectWord('set')
  const sets = reader.list(() => {
    const column = reader.name()
    reader.expectSymbol('=')
    return [column, parseExpression(reader)] as const
  })
  const where = reader.takeWord('where') ? parseExpression(reader) : undefined
  return { kind: 'update', table, sets, where }
}

function parseDelete(reader: TokenReader): Statement {
  reader.expectWord('from')
  const table = reader.name()
  const where = reader.takeWord('where') ? parseExpression(reader) : undefined
  return { kind: 'delete', table, where }
}

function parseCreateTable(reader: TokenReader): Statement {
  reader.expectWord('table')
  let ifNotExists = false
  if (reader.takeWord('if')) {
    reader.expectWord('not')
    reader.expectWord('exists')
    ifNotExists = true
  }
  const table = reader.name()
  reader.expectSymbol('(')
  let keyColumn: string | undefined
  const columns: Column[] = []
  reader.list(() => {
    // A secondary index changes nothing that can be seen.
    if (reader.takeWord('key')) {
      reader.skipUntil(',', ')')
      return
    }
    const name = reader.name()
    columns.push({ name, type: typeOf(reader.word()) })
    if (reader.skipUntil(',', ')').some((word) => word === 'primary' || word === 'unique')) keyColumn = name
  })
  reader.expectSymbol(')')
  reader.skipToEnd()
  return { kind: 'createTable', table, ifNotExists, columns, keyColumn }
}

function typeOf(word: string): ColumnType {
  switch (word) {
    case 'int':
    case 'integer':
      return 'int'
    case 'bigint':
      return 'bigint'
    case 'text':
    case 'varchar':
      return 'text'
    default:
      throw new SqlError('syntax', word)
  }
}
