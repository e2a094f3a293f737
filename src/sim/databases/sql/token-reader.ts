import { SqlError } from './syntax.ts'
import { type Token, tokenize } from './tokens.ts'

/** Reads the tokens of one statement, with one token of foresight. */
export class TokenReader {
  readonly #text: string
  readonly #tokens: readonly Token[]
  #at = 0
  #parameters = 0

  constructor(text: string) {
    this.#text = text
    this.#tokens = tokenize(text)
  }

  get next(): Token {
    return this.#tokens[this.#at]!
  }

  /** Where the next token begins. */
  get position(): number {
    return this.next.start
  }

  textSince(start: number): string {
    return this.#text.slice(start, this.#tokens[this.#at - 1]!.end)
  }

  advance(): Token {
    const token = this.next
    if (token.kind !== 'end') this.#at += 1
    return token
  }

  /** MySQL's `?` are counted as they come. */
  nextParameter(): number {
    return this.#parameters++
  }

  takeWord(word: string): boolean {
    return this.#take('word', word)
  }

  takeSymbol(symbol: string): boolean {
    return this.#take('symbol', symbol)
  }

  expectWord(word: string): void {
    if (!this.takeWord(word)) throw this.mistake()
  }

  expectSymbol(symbol: string): void {
    if (!this.takeSymbol(symbol)) throw this.mistake()
  }

  expectEnd(): void {
    this.takeSymbol(';')
    if (this.next.kind !== 'end') throw this.mistake()
  }

  /** A name, quoted or not. */
  name(): string {
    if (this.next.kind !== 'word' && this.next.kind !== 'quoted') throw this.mistake()
    return this.advance().text
  }

  word(): string {
    if (this.next.kind !== 'word') throw this.mistake()
    return this.advance().text
  }

  number(): number {
    if (this.next.kind !== 'number') throw this.mistake()
    return Number(this.advance().text)
  }

  /** One or more, with commas between. */
  list<T>(item: () => T): T[] {
    const items = [item()]
    while (this.takeSymbol(',')) items.push(item())
    return items
  }

  /** Skips to one of `symbols` outside of parentheses, and returns the words on the way. */
  skipUntil(...symbols: string[]): string[] {
    const words: string[] = []
    for (let depth = 0; this.next.kind !== 'end'; this.advance()) {
      const { kind, text } = this.next
      if (kind === 'symbol' && depth === 0 && symbols.includes(text)) break
      if (kind === 'symbol' && text === '(') depth += 1
      if (kind === 'symbol' && text === ')') depth -= 1
      if (kind === 'word') words.push(text)
    }
    return words
  }

  skipToEnd(): void {
    while (this.next.kind !== 'end') this.advance()
  }

  mistake(): SqlError {
    const { start } = this.next
    return new SqlError('syntax', this.#text.slice(start, start + 80), start)
  }

  #take(kind: Token['kind'], text: string): boolean {
    if (this.next.kind !== kind || this.next.text !== text) return false
    this.#at += 1
    return true
  }
}
