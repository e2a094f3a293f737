import type { NodeId } from '../base/index.ts'
import {
  type Coordinator,
  type DeadlockDetector,
  type Reply,
  refusal,
  type Verdict,
  type WaitSource,
} from '../coordinator/index.ts'
import type { Connection, LeaderHint, Message, RequestId } from '../transport/index.ts'
import type { AdminDesk } from './admin-desk.ts'
import { type ClientLimits, ClientQuota } from './client-quota.ts'

/** What a session needs of its server. */
export interface SessionServices {
  readonly coordinator: Coordinator
  readonly desk: AdminDesk
  readonly deadlocks: Pick<DeadlockDetector, 'waiting' | 'leave'>
  /** What it may have under way. */
  readonly limits: ClientLimits
  /** Where a leader takes clients. */
  readonly hint: (leader: NodeId | undefined) => LeaderHint | undefined
  readonly onEnd: (session: ClientSession, reason: Error) => void
}

/** One connection of an application (or of the command line): its messages go to the coordinator, the answers come back. */
export class ClientSession implements WaitSource {
  readonly #connection: Connection
  readonly #services: SessionServices
  readonly #quota: ClientQuota
  #open = true

  constructor(connection: Connection, services: SessionServices) {
    this.#connection = connection
    this.#services = services
    this.#quota = new ClientQuota(services.limits)
    connection.onMessage = (message) => this.#receive(message)
    connection.onClose = (reason) => {
      this.#open = false
      services.deadlocks.leave(this)
      services.onEnd(this, reason)
    }
  }

  /** Tells the application where the leader is now. */
  announce(leader: LeaderHint | undefined): void {
    this.#send({ kind: 'leader', leader })
  }

  /** Tells the application that one of its transactions is to die. @returns false when it was not sent */
  condemn(verdict: Verdict): boolean {
    return this.#open && this.#connection.send({ kind: 'deadlock', ...verdict })
  }

  close(reason: string): void {
    this.#connection.close(reason)
  }

  #receive(message: Message): void {
    const { coordinator } = this.#services
    switch (message.kind) {
      case 'commit':
        return this.#commit(message)
      case 'abort':
        return coordinator.abort(message, (reply) => this.#reply(message, reply))
      case 'inquire':
        return coordinator.inquire(message, (reply) => this.#reply(message, reply))
      case 'ack':
        return coordinator.ack(message.txid, message.branches)
      case 'vote':
        return coordinator.vote(message.txid, message.branch, message.vote, message.evidence)
      case 'waiting':
        return this.#services.deadlocks.waiting(this, message.transactions)
      case 'admin':
        return this.#ask(message)
      default:
        // The connection takes only a client's messages; this one has no meaning for a coordinator.
        return this.close(`a ${message.kind} message makes no sense from a client`)
    }
  }

  #commit(message: Extract<Message, { kind: 'commit' }>): void {
    const limit = this.#quota.take(message)
    if (limit !== undefined) {
      const words = `this application has ${limit} under way at this coordinator, which is its limit, so nothing was done; repeat the request after a moment`
      return this.#reply(message, refusal('CLIENT_OVER_QUOTA', undefined, words))
    }
    this.#services.coordinator.commit(message, (reply) => {
      this.#quota.give(message)
      this.#reply(message, reply)
    })
  }

  #ask({ method, json, requestId }: Extract<Message, { kind: 'admin' }>): void {
    const { desk, hint } = this.#services
    const { remoteAddress, certificateName } = this.#connection
    const from = certificateName === undefined ? remoteAddress : `${remoteAddress}, ${certificateName}`
    desk.ask(
      method,
      json,
      (answer) =>
        this.#send(
          answer.kind === 'result'
            ? { kind: 'adminResult', requestId, json: answer.json }
            : { ...answer, requestId, leader: hint(answer.leader) },
        ),
      from,
    )
  }

  #reply(
    { requestId, txid }: { readonly requestId: RequestId; readonly txid: Extract<Message, { kind: 'commit' }>['txid'] },
    reply: Reply,
  ): void {
    if (reply.kind === 'outcome') this.#send({ kind: 'outcome', requestId, txid, outcome: reply.outcome })
    else {
      const { code, message, retryable, leader } = reply
      this.#send({ kind: 'refused', requestId, code, message, retryable, leader: this.#services.hint(leader) })
    }
  }

  #send(message: Message): void {
    if (!this.#open) return
    // A client that does not read its answers can't be served; it will ask again on a new connection.
    if (!this.#connection.send(message)) this.close('too many answers wait to be read')
  }
}
