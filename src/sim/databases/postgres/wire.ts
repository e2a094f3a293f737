import type { Channel } from '../../kernel/types.ts'
import type { Host } from '../host.ts'
import type { PgAnswer, PgFailure, PgRequest, PgResult } from './protocol.ts'

/** What came of one request. */
export interface Completed {
  readonly results: readonly PgResult[]
  readonly error: Error | undefined
}

interface Pending {
  readonly request: PgRequest
  readonly done: (completed: Completed) => void
  /** The connection failed before an answer. */
  readonly lost: (error: Error) => void
}

/**
 * A driver's end of a connection: one request under way, the rest in a queue, as `pg` does without pipelining.
 *
 * Every request ends once: with the server's answer, or with the loss of the connection.
 */
export class PgWire {
  readonly #channel: Channel
  readonly #onLost: (error: Error) => void
  readonly #queue: Pending[] = []
  #active: Pending | undefined
  #lost: Error | undefined

  /** Connects and logs in. @throws what `pg` throws then */
  static async open(host: Host, database: string, onLost: (error: Error) => void): Promise<PgWire> {
    const wire = new PgWire(await host.channels.connect(database), onLost)
    await new Promise<void>((resolve, reject) => {
      wire.#enqueue({ request: { kind: 'startup' }, done: () => resolve(), lost: reject })
    })
    return wire
  }

  private constructor(channel: Channel, onLost: (error: Error) => void) {
    this.#channel = channel
    this.#onLost = onLost
    channel.onMessage = (answer) => this.#receive(answer as PgAnswer)
    channel.onClose = (error) => this.#lose(error ?? new Error('Connection terminated unexpectedly'))
  }

  get lost(): Error | undefined {
    return this.#lost
  }

  send(request: PgRequest, done: (completed: Completed) => void, lost: (error: Error) => void): void {
    this.#enqueue({ request, done, lost })
  }

  /** Closes the connection from this side. Who still waits hears that it was closed. */
  close(): void {
    if (this.#lost !== undefined) return
    this.#channel.close()
    this.#endAll(new Error('Connection terminated'))
  }

  #enqueue(pending: Pending): void {
    if (this.#lost !== undefined) {
      const lost = this.#lost
      queueMicrotask(() => pending.lost(lost))
      return
    }
    this.#queue.push(pending)
    if (this.#active === undefined) this.#sendNext()
  }

  #sendNext(): void {
    this.#active = this.#queue.shift()
    if (this.#active !== undefined) this.#channel.send(this.#active.request)
  }

  #receive(answer: PgAnswer): void {
    if (this.#lost !== undefined) return
    if (answer.kind === 'fatal') {
      // The server's farewell is the answer to what was under way; then it closes.
      this.#lose(pgError(answer.error))
      this.#channel.close()
      return
    }
    const active = this.#active
    if (active === undefined) return
    const results = answer.kind === 'done' ? answer.results : []
    const failure = answer.kind === 'done' ? answer.error : undefined
    active.done({ results, error: failure === undefined ? undefined : pgError(failure) })
    this.#sendNext()
  }

  #lose(error: Error): void {
    if (this.#lost !== undefined) return
    this.#endAll(error)
    this.#onLost(error)
  }

  #endAll(error: Error): void {
    this.#lost = error
    const waiting = this.#active === undefined ? this.#queue.splice(0) : [this.#active, ...this.#queue.splice(0)]
    this.#active = undefined
    for (const pending of waiting) pending.lost(error)
  }
}

function pgError({ severity, code, message, position }: PgFailure): Error {
  return Object.assign(new Error(message), { severity, code }, position === undefined ? {} : { position })
}
