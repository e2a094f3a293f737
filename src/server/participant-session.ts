import type { BranchId, NodeId, Txid } from '../base/index.ts'
import type { Coordinator, DeadlockDetector, ParticipantMessage, Reply } from '../coordinator/index.ts'
import type { Connection, Hello, LeaderHint, Message } from '../transport/index.ts'

/** More than this queued for one instance, and its messages go to another one, or wait for the coordinator's repeat. */
const QUEUE_BYTES_MAX = 1024 * 1024

/** Who hears of instances: `ParticipantRegistry`. */
export interface ParticipantBook {
  /** This instance answered PREPARE: it holds the branch. */
  voted(txid: Txid, branch: BranchId, session: ParticipantSession): void
  /** Nothing is left to be told about these. */
  acknowledged(txid: Txid, branches: readonly BranchId[]): void
}

/** What a session needs of its server. */
export interface ParticipantServices {
  readonly coordinator: Pick<Coordinator, 'vote' | 'ack' | 'inquire'>
  readonly book: ParticipantBook
  readonly deadlocks: Pick<DeadlockDetector, 'lockWaits' | 'leave'>
  /** Where a leader takes connections. */
  readonly hint: (leader: NodeId | undefined) => LeaderHint | undefined
  readonly onEnd: (session: ParticipantSession, reason: Error) => void
}

/** One connection of one instance of a participant: PREPARE and decisions go out, votes, ACKs and INQUIREs come in. */
export class ParticipantSession {
  /** The participant's name; all its instances share it. */
  readonly name: string
  readonly #connection: Connection
  readonly #services: ParticipantServices

  constructor(connection: Connection, services: ParticipantServices) {
    this.name = (connection.remote as Hello).name
    this.#connection = connection
    this.#services = services
    connection.onMessage = (message) => this.#receive(message)
    connection.onClose = (reason) => {
      services.deadlocks.leave(this)
      services.onEnd(this, reason)
    }
  }

  /** @returns false when it was not sent: the connection is closed, or too much waits for the other side to read */
  send(message: ParticipantMessage): boolean {
    return this.#connection.bytesQueued < QUEUE_BYTES_MAX && this.#connection.send(message)
  }

  /** Tells the participant where the leader is now. */
  announce(leader: LeaderHint | undefined): void {
    this.#answer({ kind: 'leader', leader })
  }

  close(reason: string): void {
    this.#connection.close(reason)
  }

  #receive(message: Message): void {
    const { coordinator, book } = this.#services
    switch (message.kind) {
      case 'vote':
        book.voted(message.txid, message.branch, this)
        return coordinator.vote(message.txid, message.branch, message.vote, message.evidence, this.name)
      case 'ack':
        book.acknowledged(message.txid, message.branches)
        return coordinator.ack(message.txid, message.branches, this.name)
      case 'inquire':
        return coordinator.inquire(message, (reply) => this.#reply(message, reply))
      case 'lockWaits':
        return this.#services.deadlocks.lockWaits(this, this.name, message.waits)
      default:
        return this.close(`a ${message.kind} message makes no sense from a participant`)
    }
  }

  #reply({ requestId, txid }: Extract<Message, { kind: 'inquire' }>, reply: Reply): void {
    if (reply.kind === 'outcome') this.#answer({ kind: 'outcome', requestId, txid, outcome: reply.outcome })
    else {
      const { code, message, retryable, leader } = reply
      this.#answer({ kind: 'refused', requestId, code, message, retryable, leader: this.#services.hint(leader) })
    }
  }

  #answer(message: Message): void {
    // One that does not read its answers can't be served; it will ask again on a new connection.
    if (this.#connection.isOpen && !this.#connection.send(message)) this.close('too many answers wait to be read')
  }
}
