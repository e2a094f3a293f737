import { type Clock, type Gid, systemClock, type Timer, toError } from '../base/index.ts'
import { BranchEndedError, BranchStatementRefusedError } from './errors.ts'

/** Tags of statements that write only through functions, or nothing; the database is asked whether they did. */
const READING_COMMANDS = new Set(['SELECT', 'SHOW', 'SET', 'SAVEPOINT', 'RELEASE', 'ROLLBACK'])

/**
 * How long an abort waits for a statement that is under way. One that waits for a row lock may take for ever; its session is
 * then closed, and the server rolls back as soon as it notices.
 */
export const ABORT_WAIT_MS = 500

/** Methods of drivers that answer nothing. */
const SYNCHRONOUS = new Set(['release', 'destroy', 'close'])

/**
 * What a branch knows about the statements that the application sends through its session. Every driver reports here.
 *
 * 1. After `end` no statement starts.
 * 2. `poisonedBy` is the first error and never changes.
 */
export class BranchGuard {
  readonly gid: Gid
  readonly #refused: RegExp
  readonly #clock: Clock
  #pending = 0
  #ended = false
  #poison: Error | undefined
  #statements = 0
  #mayHaveWritten = false
  #whenIdle: (() => void)[] = []

  /** @param refused matches the beginning of statements that would end the transaction */
  constructor(gid: Gid, refused: RegExp, clock: Clock = systemClock) {
    this.gid = gid
    this.#refused = refused
    this.#clock = clock
  }

  get poisonedBy(): Error | undefined {
    return this.#poison
  }

  /** A statement of the application is under way. */
  get isBusy(): boolean {
    return this.#pending > 0
  }

  /** Which of its statements is under way, from 1: they are carried out one by one. Undefined while none is. */
  get underWay(): number | undefined {
    return this.#pending > 0 ? this.#statements - this.#pending + 1 : undefined
  }

  /** Statements the application has sent. */
  get statements(): number {
    return this.#statements
  }

  /** False only when every statement was a SELECT or the like. */
  get mayHaveWritten(): boolean {
    return this.#mayHaveWritten
  }

  /** Call before a statement is sent; an error means: don't. @param text its SQL where that is known */
  admit(text: string | undefined): Error | undefined {
    if (this.#ended) return new BranchEndedError(this.gid)
    const match = text === undefined ? null : this.#refused.exec(text)
    if (match === null) return undefined
    return this.refuse(match[1]?.toUpperCase() ?? 'this statement')
  }

  /** Refuses `what`, and poisons the branch: somebody wanted to end it by hand. */
  refuse(what: string): Error {
    if (this.#ended) return new BranchEndedError(this.gid)
    const error = new BranchStatementRefusedError(what)
    this.poison(error)
    return error
  }

  /** Refuses a call of the session's `method` in its own style: promises reject, calls without an answer throw. */
  refuseCall(owner: string, method: string): Promise<never> {
    const error = this.refuse(`${owner}.${method}()`)
    // A rejection would end the process there: nobody awaits release().
    if (SYNCHRONOUS.has(method)) throw error
    return Promise.reject(error)
  }

  started(): void {
    this.#statements += 1
    this.#pending += 1
  }

  /** @param commands command tags where the driver tells them; none means that it may have written */
  succeeded(commands: readonly string[] = []): void {
    if (commands.length === 0 || !commands.every((tag) => READING_COMMANDS.has(tag))) this.#mayHaveWritten = true
    this.#finished()
  }

  failed(thrown: unknown): void {
    this.poison(thrown)
    this.#finished()
  }

  poison(thrown: unknown): void {
    this.#poison ??= toError(thrown)
  }

  /** Admits no more statements and resolves when those under way are over: the application may have awaited none. */
  async end(): Promise<void> {
    this.#ended = true
    if (this.#pending > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve))
  }

  /** Like `end`, but gives up waiting after `limitMs`. @returns whether every statement is over */
  async endWithin(limitMs: number): Promise<boolean> {
    let timer: Timer | undefined
    const patience = new Promise<void>((resolve) => {
      timer = this.#clock.after(limitMs, resolve)
    })
    await Promise.race([this.end(), patience])
    if (timer !== undefined) this.#clock.cancel(timer)
    return !this.isBusy
  }

  #finished(): void {
    this.#pending -= 1
    if (this.#pending > 0) return
    for (const resolve of this.#whenIdle.splice(0)) resolve()
  }
}

/** Skips white space and comments before the first word of a statement. */
export const LEADING = String.raw`^(?:\s|;|--[^\n]*\n|#[^\n]*\n|/\*[\s\S]*?\*/)*`
