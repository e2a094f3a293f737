import type { Clock } from '../../base/index.ts'
import type { Resource } from '../resource.ts'
import type { AmbientTransaction } from './context.ts'
import { Lease } from './lease.ts'
import { BranchTurns } from './turns.ts'

/** How a driver's session is lent. */
export interface LendingParts<Session extends object> {
  readonly resource: Resource<Session>
  readonly clock: Clock
  /** Sends a text in the session, as the application would. */
  readonly send: (session: Session, sql: string) => Promise<unknown>
  /** What the driver answers to a statement without rows. */
  readonly nothing: unknown
}

/** A branch's session, and the right to send in it. */
export interface Lent<Session> {
  readonly session: Session
  readonly lease: Lease
}

/** Lends a resource's branch sessions to whoever calls its ambient pool inside a transaction. */
export class Lending<Session extends object> {
  readonly #parts: LendingParts<Session>
  readonly #turns = new WeakMap<Session, BranchTurns>()

  constructor(parts: LendingParts<Session>) {
    this.#parts = parts
  }

  /** @throws TransactionEndedError, and what opening a branch throws */
  async lend(tx: AmbientTransaction): Promise<Lent<Session>> {
    const { resource, send, nothing } = this.#parts
    // Counted from now on: a call that nobody awaits may still be waiting for its session when the callback ends.
    const done = tx.started(resource.name)
    try {
      const session = await tx.enlist(resource)
      const turns = this.#turnsOf(session)
      const lease = new Lease({ tx, resource: resource.name, turns, send: (sql) => send(session, sql), nothing })
      return { session, lease }
    } finally {
      done()
    }
  }

  /** Runs one statement in the branch. */
  async run(tx: AmbientTransaction, text: string | undefined, send: (session: Session) => unknown): Promise<unknown> {
    const done = tx.started(this.#parts.resource.name)
    try {
      const { session, lease } = await this.lend(tx)
      return await lease.run(text, () => send(session))
    } finally {
      done()
    }
  }

  #turnsOf(session: Session): BranchTurns {
    let turns = this.#turns.get(session)
    if (turns === undefined) {
      const { resource, clock } = this.#parts
      turns = new BranchTurns(resource.name, clock)
      this.#turns.set(session, turns)
    }
    return turns
  }
}
