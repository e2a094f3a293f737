import { toError } from '../../base/index.ts'
import type { Coordinator, ParticipantMessage } from '../../coordinator/index.ts'
import type { Instance, ParticipantRegistry } from '../participant-registry.ts'
import type { ServerLogger } from '../server-logger.ts'
import { CallLane } from './call-lane.ts'
import type { HttpService } from './http-service.ts'

/** What an instance behind a URL needs. */
export interface HttpInstanceParts {
  readonly service: HttpService
  readonly coordinator: Pick<Coordinator, 'isLeading' | 'vote' | 'ack' | 'heuristic'>
  readonly book: Pick<ParticipantRegistry, 'voted' | 'acknowledged'>
  readonly logger: ServerLogger
  /** PREPAREs under way, at most, and as many decisions. */
  readonly concurrency: number
}

type MessageOf<Kind extends ParticipantMessage['kind']> = Extract<ParticipantMessage, { kind: Kind }>

/** PREPAREs that wait for one instance, at most, and as many decisions; beyond it they wait for the coordinator's repeat. */
const WAITING_MAX = 10_000

/**
 * One instance of a service that is called at its URL, in place of a connection that it opened. Repeats are the
 * coordinator's (vote round and decision delivery): here each message is one call, and its answer, if it is one, goes back.
 */
export class HttpInstance implements Instance {
  readonly #parts: HttpInstanceParts
  /** Apart, so that a service that is slow to vote hears decisions all the same. */
  readonly #prepares: CallLane
  readonly #decisions: CallLane
  #failure: string | undefined
  #isClosed = false

  constructor(parts: HttpInstanceParts) {
    this.#parts = parts
    this.#prepares = new CallLane(parts.concurrency, WAITING_MAX)
    this.#decisions = new CallLane(parts.concurrency, WAITING_MAX)
  }

  send(message: ParticipantMessage): boolean {
    const key = `${message.txid}/${message.branch}`
    if (message.kind === 'prepare') return this.#prepares.offer(key, () => this.#prepare(message))
    // Decided without this vote.
    this.#prepares.drop(key)
    return this.#decisions.offer(key, () => this.#decide(message))
  }

  close(): void {
    this.#isClosed = true
    this.#prepares.clear()
    this.#decisions.clear()
    this.#parts.service.close()
  }

  #prepare({ txid, branch, timeoutMs }: MessageOf<'prepare'>): Promise<void> {
    const { service, coordinator, book } = this.#parts
    return this.#call(
      () => service.prepare(txid, branch, timeoutMs),
      (vote) => {
        book.voted(txid, branch, this)
        coordinator.vote(txid, branch, vote, undefined, service.name)
      },
    )
  }

  #decide({ txid, branch, decision }: MessageOf<'decision'>): Promise<void> {
    const { service, coordinator, book } = this.#parts
    return this.#call(
      () => service.decide(txid, branch, decision),
      (result) => {
        book.acknowledged(txid, [branch])
        if (result.kind === 'done') coordinator.ack(txid, [branch], service.name)
        else coordinator.heuristic(txid, branch, result.found)
      },
    )
  }

  /** @param take may throw, which is then no fault of the service: a broken invariant ends the process */
  async #call<T>(ask: () => Promise<T>, take: (answer: T) => void): Promise<void> {
    // Whoever leads now asks by itself.
    if (this.#isClosed || !this.#parts.coordinator.isLeading) return
    let answer: T
    try {
      answer = await ask()
    } catch (thrown) {
      this.#failed(toError(thrown))
      return
    }
    this.#answered()
    take(answer)
  }

  #answered(): void {
    if (this.#failure === undefined) return
    this.#failure = undefined
    const { service, logger } = this.#parts
    logger.info({ participant: service.name, url: service.url }, `${service.name} answers again`)
  }

  /** Said once for each kind of failure: calls are repeated many times a second. */
  #failed(error: Error): void {
    const { service, logger } = this.#parts
    if (this.#isClosed || this.#failure === error.message) return
    this.#failure = error.message
    const message = `${service.name} at ${service.url}: ${error.message}; that is neither a vote nor an acknowledgement, so it is asked again`
    logger.warn({ participant: service.name, url: service.url }, message)
  }
}
