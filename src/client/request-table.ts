import { type Clock, hit } from '../base/index.ts'
import type { Refusal, RefusalCode, Reply } from '../coordinator/index.ts'
import type { ClientMessage, Connection, ServerMessage } from '../transport/index.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import { backoffMs } from './defaults.ts'

/** The messages that get an answer. */
export type RequestMessage = Extract<ClientMessage, { kind: 'commit' | 'abort' | 'inquire' }>

type Refused = Extract<ServerMessage, { kind: 'refused' }>

/** What a table needs. */
export interface RequestTableParts {
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly random: () => number
  /** Why no leader can be reached, for people. */
  readonly describe: () => string
  /** A coordinator that does not lead named the one that does, or nobody. */
  readonly onNotLeader: (refused: Refused, from: Connection) => void
}

/** Repeating won't change these within a request's time: a full disk stays full for longer than locks should be held. */
const FINAL_ALL_THE_SAME: ReadonlySet<string> = new Set<RefusalCode>(['DISK_FULL'])

/** One request until its answer. It is its own deadline: nothing else is allocated for it. */
class Request implements Deadline {
  readonly dueMs: number
  /** When a coordinator must have gathered the votes of a commit. */
  readonly votesDueMs: number
  readonly resolve: (reply: Reply) => void
  readonly #table: RequestTable
  message: RequestMessage
  /** Where its last attempt is under way; undefined while it is nowhere. */
  sentOn: Connection | undefined
  /** Where earlier attempts still have no answer. While there is one, "nothing was done" speaks of the last attempt only. */
  unanswered: readonly Connection[] = []
  /** A coordinator said that an attempt may still take effect. */
  isPending = false
  lastRefusal: Refused | undefined
  attempts = 0

  constructor(
    table: RequestTable,
    message: RequestMessage,
    nowMs: number,
    timeoutMs: number,
    resolve: (reply: Reply) => void,
  ) {
    this.#table = table
    this.message = message
    this.dueMs = nowMs + timeoutMs
    this.votesDueMs = nowMs + (message.kind === 'commit' ? message.timeoutMs : timeoutMs)
    this.resolve = resolve
  }

  expire(): void {
    this.#table.expire(this)
  }
}

/**
 * Requests under way, each with its own number on a shared connection.
 *
 * 1. A request is under way on at most one connection; it moves to the new leader's at once, with the same txid.
 * 2. It ends with an outcome, with a refusal that speaks for all its attempts, or with OUTCOME_PENDING.
 */
export class RequestTable {
  readonly #parts: RequestTableParts
  readonly #requests = new Map<number, Request>()
  #connection: Connection | undefined
  #lastId = 0

  constructor(parts: RequestTableParts) {
    this.#parts = parts
  }

  /** Requests without an answer. */
  get size(): number {
    return this.#requests.size
  }

  /** The next request's number. */
  nextId(): number {
    this.#lastId += 1
    return this.#lastId
  }

  /** Sends `message` to the leader, now or when there is one, until it is answered or `timeoutMs` is over. Never rejects. */
  submit(message: RequestMessage, timeoutMs: number): Promise<Reply> {
    return new Promise((resolve) => {
      const request = new Request(this, message, this.#parts.clock.monotonicMs(), timeoutMs, resolve)
      this.#requests.set(message.requestId, request)
      this.#parts.deadlines.add(request)
      this.#send(request)
    })
  }

  /** Another connection leads, or none. */
  switchTo(connection: Connection | undefined): void {
    this.#connection = connection
    for (const request of this.#requests.values()) {
      if (request.sentOn !== undefined) {
        // Its answer may still come over the old connection, and counts.
        request.unanswered = [...request.unanswered, request.sentOn]
        request.sentOn = undefined
      }
      this.#send(request)
    }
  }

  onReply(message: ServerMessage, from: Connection): void {
    if (message.kind === 'outcome') {
      const request = this.#requests.get(message.requestId)
      if (request !== undefined) this.#finish(request, { kind: 'outcome', outcome: message.outcome })
    } else if (message.kind === 'refused') {
      this.#refused(message, from)
    }
  }

  expire(request: Request): void {
    const { lastRefusal } = request
    const none = refusal('NOT_LEADER', `no leading coordinator answered in time (${this.#parts.describe()})`)
    this.#finish(request, lastRefusal === undefined ? none : refusalOf(lastRefusal))
  }

  /** Ends every request: those that were sent are pending. */
  close(): void {
    for (const request of this.#requests.values()) {
      this.#finish(request, refusal('SHUTTING_DOWN', 'this client was closed before an answer came'))
    }
  }

  #send(request: Request): void {
    const connection = this.#connection
    if (connection === undefined) return
    // The coordinator's time for gathering votes counts from the message's arrival.
    if (request.attempts > 0) request.message = this.#withRemainingTime(request)
    request.attempts += 1
    const { message } = request
    const isFirst = message.kind === 'commit' && request.attempts === 1
    if (isFirst) hit('client.commit.before-send', message.txid)
    if (connection.send(message)) request.sentOn = connection
    else this.#sendLater(request)
    if (isFirst) hit('client.commit.sent', message.txid)
  }

  #withRemainingTime({ message, votesDueMs }: Request): RequestMessage {
    if (message.kind !== 'commit') return message
    return { ...message, timeoutMs: Math.max(1, Math.ceil(votesDueMs - this.#parts.clock.monotonicMs())) }
  }

  #sendLater(request: Request): void {
    const { clock, deadlines, random } = this.#parts
    const dueMs = clock.monotonicMs() + backoffMs(request.attempts, random())
    deadlines.add({ dueMs, expire: () => this.#sendIfIdle(request) })
  }

  #sendIfIdle(request: Request): void {
    if (this.#requests.has(request.message.requestId) && request.sentOn === undefined) this.#send(request)
  }

  #refused(refused: Refused, from: Connection): void {
    const request = this.#requests.get(refused.requestId)
    if (request === undefined) return
    request.lastRefusal = refused
    if (refused.code === 'OUTCOME_PENDING') request.isPending = true
    // Answers come in the order of the attempts, so an earlier one over the same connection is answered first.
    const earlier = request.unanswered.indexOf(from)
    if (earlier >= 0) {
      request.unanswered = request.unanswered.toSpliced(earlier, 1)
      return
    }
    request.sentOn = undefined
    if (!refused.retryable || FINAL_ALL_THE_SAME.has(refused.code)) {
      this.#finish(request, refusalOf(refused))
      return
    }
    // This may switch to the leader's connection, which sends everything that is nowhere.
    if (refused.code === 'NOT_LEADER') this.#parts.onNotLeader(refused, from)
    if (request.sentOn === undefined) this.#sendLater(request)
  }

  #finish(request: Request, reply: Reply): void {
    this.#requests.delete(request.message.requestId)
    this.#parts.deadlines.remove(request)
    const mayTakeEffect = request.isPending || request.sentOn !== undefined || request.unanswered.length > 0
    if (reply.kind === 'outcome' || !mayTakeEffect) {
      request.resolve(reply)
      return
    }
    const message = `an attempt got no answer, so it may still take effect; the last answer was: ${reply.message}`
    request.resolve(refusal('OUTCOME_PENDING', message))
  }
}

/** `code` came over the wire from a newer coordinator, perhaps: an unknown one is kept and treated by its `retryable`. */
function refusalOf({ code, message, retryable, leader }: Refused): Refusal {
  return { kind: 'refused', code: code as RefusalCode, message, retryable, leader: leader?.nodeId }
}

function refusal(code: RefusalCode, message: string): Refusal {
  return { kind: 'refused', code, message, retryable: true, leader: undefined }
}
