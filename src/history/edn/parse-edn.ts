import { MalformedHistoryError } from '../events.ts'

/** What EDN text holds. A keyword is a text with its colon; a symbol, a character or a tag's value is a text, too. */
export type Edn = null | boolean | number | string | EdnString | readonly Edn[] | EdnMap

/** A text in quotes: not the same as a keyword. */
export class EdnString {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** Its keys are keywords; other keys are nothing that we look for, and left out. */
export type EdnMap = ReadonlyMap<string, Edn>

type Open = { readonly close: string; readonly items: Edn[]; readonly at: number }

const DELIMITER = /[\s,()[\]{}"; ]/
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\' }
const CLOSES: Readonly<Record<string, string>> = { '[': ']', '(': ')', '{': '}' }

/**
 * Every form of a text, in its order. Of EDN it knows what histories are made of: nil, booleans, whole and other numbers,
 * texts, keywords, symbols, lists, vectors, maps and sets; comments are skipped and tags taken off (`#jepsen.history.Op{…}`).
 *
 * @throws MalformedHistoryError with the line, for anything else
 */
export function parseEdn(source: string): readonly Edn[] {
  const root: Open = { close: '', items: [], at: 0 }
  const stack: Open[] = [root]
  let at = 0
  while (at < source.length) {
    const char = source[at]!
    const top = stack.at(-1)!
    if (/[\s,]/.test(char)) at++
    else if (char === ';') at = endOfLine(source, at)
    else if (char === '"') at = readString(source, at, top.items)
    else if (char === '#') at = skipTag(source, at)
    else if (CLOSES[char] !== undefined) {
      stack.push({ close: CLOSES[char], items: [], at })
      at++
    } else if (char === ')' || char === ']' || char === '}') {
      if (top.close !== char) throw wrong(source, at, `"${char}" closes nothing`)
      stack.pop()
      stack.at(-1)!.items.push(char === '}' ? mapOf(top.items) : top.items)
      at++
    } else at = readToken(source, at, top.items)
  }
  if (stack.length > 1) throw wrong(source, stack.at(-1)!.at, 'what is opened here is never closed')
  return root.items
}

function endOfLine(source: string, at: number): number {
  const end = source.indexOf('\n', at)
  return end < 0 ? source.length : end
}

function readString(source: string, start: number, into: Edn[]): number {
  let text = ''
  for (let at = start + 1; at < source.length; at++) {
    const char = source[at]!
    if (char === '"') {
      into.push(new EdnString(text))
      return at + 1
    }
    if (char === '\\') {
      at++
      text += ESCAPES[source[at] ?? ''] ?? source[at] ?? ''
    } else text += char
  }
  throw wrong(source, start, 'a text has no end')
}

/** `#{` is a set, which is read as a map or list would be; any other `#tag` says only what the next form is. */
function skipTag(source: string, start: number): number {
  if (source[start + 1] === '{') return start + 1
  let at = start + 1
  while (at < source.length && !DELIMITER.test(source[at]!)) at++
  return at
}

function readToken(source: string, start: number, into: Edn[]): number {
  let at = start
  while (at < source.length && !DELIMITER.test(source[at]!)) at++
  into.push(tokenValue(source, start, source.slice(start, at)))
  return at
}

function tokenValue(source: string, at: number, token: string): Edn {
  if (token === 'nil') return null
  if (token === 'true' || token === 'false') return token === 'true'
  if (!/^[+-]?\d/.test(token)) return token
  const number = Number(token.replace(/[NM]$/, ''))
  if (Number.isNaN(number)) throw wrong(source, at, `"${token}" is no number that histories have`)
  if (/^[+-]?\d+N?$/.test(token) && !Number.isSafeInteger(number))
    throw wrong(source, at, `${token} is beyond 2^53, where numbers are no longer told apart`)
  return number
}

function mapOf(items: readonly Edn[]): EdnMap {
  const map = new Map<string, Edn>()
  for (let at = 0; at + 1 < items.length; at += 2) {
    const key = items[at]
    if (typeof key === 'string') map.set(key, items[at + 1]!)
  }
  return map
}

function wrong(source: string, at: number, what: string): MalformedHistoryError {
  const line = source.slice(0, at).split('\n').length
  return new MalformedHistoryError(`line ${line} is not EDN that can be read: ${what}`)
}
