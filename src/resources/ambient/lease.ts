import { BranchStatementRefusedError, ConnectionReleasedError } from '../errors.ts'
import { LEADING } from '../guard.ts'
import type { AmbientTransaction } from './context.ts'
import type { BranchTurns } from './turns.ts'

/** What a lease needs of its branch. */
export interface LeaseParts {
  readonly tx: AmbientTransaction
  /** The resource's name. */
  readonly resource: string
  readonly turns: BranchTurns
  /** Sends a text in the branch's session. */
  readonly send: (sql: string) => Promise<unknown>
  /** What the driver answers to a statement without rows. */
  readonly nothing: unknown
}

type Verb = 'begin' | 'commit' | 'rollback'

const WORDS = '(?:\\s+(?:work|transaction))?\\s*;?\\s*$'
const VERBS: readonly (readonly [Verb, RegExp])[] = [
  ['begin', new RegExp(`${LEADING}(?:begin|start\\s+transaction)${WORDS}`, 'i')],
  ['commit', new RegExp(`${LEADING}(?:commit|end)${WORDS}`, 'i')],
  ['rollback', new RegExp(`${LEADING}(?:rollback|abort)${WORDS}`, 'i')],
]
const BEGIN_WITH_OPTIONS = new RegExp(`${LEADING}(?:begin|start\\s+transaction)\\b`, 'i')
const MAY_BE_VERB = /\b(?:begin|start|commit|end|rollback|abort)\b/i

/**
 * A connection that an ORM took from an ambient pool inside a transaction: the branch's session, lent. To the ORM it is a
 * connection like others, so its own transactions work: BEGIN is a savepoint, COMMIT releases it, ROLLBACK goes back to it.
 *
 * 1. Only while it has a nested transaction open does it own the branch.
 * 2. After `release` it sends nothing.
 */
export class Lease {
  readonly #parts: LeaseParts
  #savepoint: { readonly name: string; readonly done: () => void } | undefined
  #failed = false
  #released = false

  constructor(parts: LeaseParts) {
    this.#parts = parts
  }

  /**
   * Runs a statement of the application, or what it means here.
   *
   * @param text its SQL where that is known
   * @throws TransactionEndedError, ConnectionReleasedError, NestedTransactionOpenError, BranchStatementRefusedError
   */
  async run(text: string | undefined, send: () => unknown): Promise<unknown> {
    const verb = verbOf(text)
    if (verb === 'begin' && this.#savepoint === undefined) return this.begin()
    if (verb === 'commit' && this.#savepoint !== undefined) return this.commit()
    if (verb === 'rollback' && this.#savepoint !== undefined) return this.rollback()
    if (verb === undefined && text !== undefined && BEGIN_WITH_OPTIONS.test(text)) {
      throw new BranchStatementRefusedError('BEGIN with an isolation level or another option')
    }
    return this.#counted(async () => {
      const { turns } = this.#parts
      const wait = turns.enter(this, false)
      if (wait !== undefined) await wait
      return turns.inOrder(send)
    })
  }

  /** A savepoint's name that is free in this branch. */
  nextName(): string {
    return this.#parts.turns.nextName()
  }

  /** @throws unless a statement may be sent right now; for what can't wait: streams and cursors. */
  assertFree(): void {
    const { tx, resource, turns } = this.#parts
    tx.started(resource)()
    if (this.#released) throw new ConnectionReleasedError(resource)
    if (!turns.isFreeFor(this)) {
      throw new BranchStatementRefusedError(
        'a stream or cursor beside the open nested transaction of another connection',
      )
    }
  }

  async begin(): Promise<unknown> {
    const { tx, resource, turns, send } = this.#parts
    if (this.#released) throw new ConnectionReleasedError(resource)
    // Counted until its end: a nested transaction that nobody ended is work half done.
    const done = tx.started(resource)
    try {
      const wait = turns.enter(this, true)
      if (wait !== undefined) await wait
      const name = turns.nextName()
      const answer = await turns.inOrder(() => send(`SAVEPOINT ${name}`))
      this.#savepoint = { name, done }
      this.#failed = false
      return answer
    } catch (error) {
      this.#leave(done)
      throw error
    }
  }

  commit(): Promise<unknown> {
    const { turns, send } = this.#parts
    return this.#end(({ name }) => turns.inOrder(() => send(`RELEASE SAVEPOINT ${name}`)))
  }

  rollback(): Promise<unknown> {
    return this.#end(async ({ name }) => {
      const { turns, send, nothing } = this.#parts
      try {
        await turns.inOrder(() => send(`ROLLBACK TO SAVEPOINT ${name}`))
        return await turns.inOrder(() => send(`RELEASE SAVEPOINT ${name}`))
      } catch (error) {
        // A deadlock in MySQL takes the savepoints with it. The branch can only abort, and the first error says why.
        if (this.#failed) return nothing
        throw error
      }
    })
  }

  /** Gives the branch back. A nested transaction that is still open is rolled back, as closing a connection would. */
  release(): void {
    this.#released = true
    if (this.#savepoint !== undefined) this.rollback().catch(() => {})
  }

  async #end(work: (savepoint: { readonly name: string }) => Promise<unknown>): Promise<unknown> {
    const savepoint = this.#savepoint
    if (savepoint === undefined) throw new BranchStatementRefusedError('COMMIT or ROLLBACK without BEGIN')
    this.#savepoint = undefined
    try {
      return await work(savepoint)
    } finally {
      this.#leave(savepoint.done)
    }
  }

  async #counted(work: () => unknown): Promise<unknown> {
    const { tx, resource } = this.#parts
    if (this.#released) throw new ConnectionReleasedError(resource)
    const done = tx.started(resource)
    try {
      return await work()
    } catch (error) {
      this.#failed = true
      throw error
    } finally {
      done()
    }
  }

  #leave(done: () => void): void {
    this.#parts.turns.leave(this)
    done()
  }
}

function verbOf(text: string | undefined): Verb | undefined {
  // Nearly every statement is none of these, and one short look tells.
  if (text === undefined || !MAY_BE_VERB.test(text)) return undefined
  return VERBS.find(([, form]) => form.test(text))?.[0]
}
