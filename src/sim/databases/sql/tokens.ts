import { SqlError } from './syntax.ts'

export interface Token {
  readonly kind: 'word' | 'quoted' | 'number' | 'string' | 'symbol' | 'end'
  /** Words in lower case, strings and quoted names without their quotes. */
  readonly text: string
  readonly start: number
  readonly end: number
}

const TOKEN =
  /\s+|--[^\n]*|\/\*[\s\S]*?\*\/|([A-Za-z_@][\w@.]*)|("[^"]*"|`[^`]*`(?:\.`[^`]*`)?)|(\d+(?:\.\d+)?)|'((?:[^']|'')*)'|(\$\d+|::|<>|!=|<=|>=|[=<>+\-*(),;?])/y

/** Cuts a text into tokens. @throws SqlError for what no token begins with */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const start = TOKEN.lastIndex
    const match = TOKEN.exec(text)
    if (match === null) throw new SqlError('syntax', text.slice(start, start + 20), start)
    const end = TOKEN.lastIndex
    const [, word, quoted, number, string, symbol] = match
    if (word !== undefined) tokens.push({ kind: 'word', text: word.toLowerCase(), start, end })
    else if (quoted !== undefined) tokens.push({ kind: 'quoted', text: quoted.replace(/["`]/g, ''), start, end })
    else if (number !== undefined) tokens.push({ kind: 'number', text: number, start, end })
    else if (string !== undefined) tokens.push({ kind: 'string', text: string.replaceAll("''", "'"), start, end })
    else if (symbol !== undefined) tokens.push({ kind: 'symbol', text: symbol, start, end })
  }
  tokens.push({ kind: 'end', text: '', start: text.length, end: text.length })
  return tokens
}

/** The statements of a text with several, each with its offset; empty ones are left out. Quotes protect a semicolon. */
export function splitStatements(text: string): { readonly text: string; readonly offset: number }[] {
  if (!text.includes(';')) return text.trim() === '' ? [] : [{ text, offset: 0 }]
  const parts: { text: string; offset: number }[] = []
  let offset = 0
  for (const part of text.split(/;(?=(?:[^']*'[^']*')*[^']*$)/)) {
    if (part.trim() !== '') parts.push({ text: part, offset })
    offset += part.length + 1
  }
  return parts
}
