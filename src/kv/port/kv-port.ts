import { type ClusterId, CodecError, parseNodeId } from '../../base/index.ts'
import {
  type Connection,
  type ConnectionLimits,
  FrameTooLargeError,
  type Hello,
  type Listener,
  listen,
  type Message,
  type Network,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  type Rejected,
  RejectionCode,
  type TlsOptions,
  type TransportLogger,
  type Welcome,
} from '../../transport/index.ts'
import { decodeRequest, encodeAnswer, type KvAnswer } from '../wire/index.ts'
import { AnswerRoom } from './answer-room.ts'
import type { KvDesk } from './kv-desk.ts'
import type { KvSession } from './kv-session.ts'
import { refusalOf } from './refusal.ts'

/** Silence of three of them ends a connection, and rolls its branches back. */
export const KV_CONNECTION_LIMITS: Partial<ConnectionLimits> = { heartbeatMs: 2_000 }

/** The welcome has a place for it, and it says nothing here. */
const NODE_ID = parseNodeId(1)

/** What a port needs. */
export interface KvPortParts {
  readonly desk: KvDesk
  readonly name: string
  readonly clusterId: ClusterId
  /** This run of the process: drawn at random at its start. */
  readonly incarnation: number
  readonly storeId: string
  readonly network: Network
  readonly host: string
  readonly port: number
  readonly tls: TlsOptions | undefined
  readonly clock: KvDesk['parts']['clock']
  readonly logger: TransportLogger
}

/** The port on which applications work with a key-value participant. */
export class KvPort {
  readonly #parts: KvPortParts
  #listener: Listener | undefined

  private constructor(parts: KvPortParts) {
    this.#parts = parts
  }

  /** @throws ConnectFailedError when the port can't be had, TlsFailedError */
  static async open(parts: KvPortParts): Promise<KvPort> {
    const opened = new KvPort(parts)
    const { network, host, port, tls, clusterId, clock, logger } = parts
    opened.#listener = await listen({
      network,
      host,
      port,
      ...(tls !== undefined && { tls }),
      clusterId,
      limits: KV_CONNECTION_LIMITS,
      accept: (hello) => opened.#greet(hello),
      onConnection: (connection) => new KvConnection(connection, parts.desk.enter(), clock),
      clock,
      logger,
    })
    return opened
  }

  get port(): number {
    return this.#listener?.port ?? 0
  }

  get connections(): number {
    return this.#listener?.connections.size ?? 0
  }

  async close(): Promise<void> {
    await this.#listener?.close()
  }

  #greet({ role, name }: Hello): Welcome | Rejected {
    const { name: ours, clusterId, incarnation, storeId } = this.#parts
    if (role !== 'kv') {
      const message = `this is the key-value participant ${ours}, and no coordinator; a ${role} needs the coordinators' addresses`
      return { kind: 'rejected', code: RejectionCode.wrongService, message }
    }
    // An operator who asks for the status need not know the name.
    if (name !== '' && name !== ours) {
      const message = `this is the key-value participant ${ours}, and not ${name.slice(0, 80)}; correct name or address`
      return { kind: 'rejected', code: RejectionCode.wrongParticipant, message }
    }
    return {
      kind: 'welcome',
      protocolMajor: PROTOCOL_MAJOR,
      protocolMinor: PROTOCOL_MINOR,
      clusterId,
      node: { nodeId: NODE_ID, storeId, durableIndex: 0, run: { incarnation, doubtful: false } },
      leader: undefined,
    }
  }
}

/** One connection of an application. */
class KvConnection {
  readonly #connection: Connection
  readonly #session: KvSession
  readonly #room: AnswerRoom

  constructor(connection: Connection, session: KvSession, clock: KvPortParts['clock']) {
    this.#connection = connection
    this.#session = session
    this.#room = new AnswerRoom(clock, () => connection.bytesQueued)
    connection.onMessage = (message) => this.#receive(message)
    connection.onDrain = () => this.#room.look()
    connection.onClose = () => {
      session.end()
      this.#room.close()
    }
  }

  #receive(message: Message): void {
    if (message.kind !== 'kvCall') return this.#connection.close(`a ${message.kind} message makes no sense here`)
    const { requestId, payload } = message
    try {
      const request = decodeRequest(payload)
      const { enter, leave } = this.#room.place()
      this.#session.call(request, payload.length, enter).then(
        (answer) => {
          this.#answer(requestId, answer)
          leave()
        },
        // Nobody knows what came of it: an answer would be taken for the truth.
        () => this.#connection.close('an answer is not known; ask anew'),
      )
    } catch (error) {
      if (!(error instanceof CodecError)) throw error
      // Half of a branch's work must not be lost.
      this.#connection.close(`a request can't be read: ${error.message}`)
    }
  }

  #answer(requestId: number, answer: KvAnswer): void {
    if (!this.#connection.isOpen) return
    try {
      this.#send(requestId, answer)
    } catch (error) {
      if (!(error instanceof FrameTooLargeError)) throw error
      this.#send(requestId, refusalOf(error))
    }
  }

  #send(requestId: number, answer: KvAnswer): void {
    const isQueued = this.#connection.send({ kind: 'kvAnswer', requestId, payload: encodeAnswer(answer) })
    if (!isQueued) this.#connection.close('too many answers wait to be read')
  }
}
