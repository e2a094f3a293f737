import type { ClusterId } from '../../base/index.ts'
import {
  type Connection,
  FrameTooLargeError,
  type Hello,
  type Message,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
} from '../../transport/index.ts'
import { decodeAnswer, encodeRequest, type KvAnswer, type KvRequest } from '../wire/index.ts'
import { KvError } from './errors.ts'
import { type KvLine, LineLostError } from './line.ts'

/** Requests without an answer, at most; as many as the participant takes of one connection. */
const CALLS_MAX = 1_000

/** What the dialer says; the name is the participant's that it looks for. */
export function kvHello(name: string, clusterId: ClusterId | undefined): Hello {
  const [protocolMajor, protocolMinor] = [PROTOCOL_MAJOR, PROTOCOL_MINOR]
  return { kind: 'hello', protocolMajor, protocolMinor, role: 'kv', clusterId, node: undefined, name }
}

interface Pending {
  readonly resolve: (answer: KvAnswer) => void
  readonly reject: (error: Error) => void
}

/** One connection. */
export class RemoteLine implements KvLine {
  readonly #name: string
  readonly #connection: Connection
  readonly #pending = new Map<number, Pending>()
  #requests = 0

  constructor(name: string, connection: Connection) {
    this.#name = name
    this.#connection = connection
  }

  get isOpen(): boolean {
    return this.#connection.isOpen
  }

  async call(request: KvRequest): Promise<KvAnswer> {
    const payload = encodeRequest(request)
    if (!this.isOpen) throw new LineLostError('the connection has ended')
    if (this.#pending.size >= CALLS_MAX) throw this.#busy(`${CALLS_MAX} requests wait for their answer`)
    const requestId = ++this.#requests
    if (!this.#send(requestId, payload)) throw this.#busy('too much waits to be sent to it')
    return new Promise((resolve, reject) => this.#pending.set(requestId, { resolve, reject }))
  }

  receive(message: Message): void {
    if (message.kind !== 'kvAnswer') return
    const pending = this.#pending.get(message.requestId)
    this.#pending.delete(message.requestId)
    try {
      pending?.resolve(decodeAnswer(message.payload))
    } catch (error) {
      pending?.reject(new LineLostError('its answer can not be read', { cause: error }))
      this.#connection.close('an answer can not be read')
    }
  }

  lost(cause: Error): void {
    for (const { reject } of this.#pending.values()) reject(new LineLostError(cause.message, { cause }))
    this.#pending.clear()
  }

  #send(requestId: number, payload: Buffer): boolean {
    try {
      return this.#connection.send({ kind: 'kvCall', requestId, payload })
    } catch (error) {
      if (!(error instanceof FrameTooLargeError)) throw error
      const { code, message } = error
      throw new KvError(this.#name, { code, message, retryable: false }, { cause: error })
    }
  }

  #busy(what: string): KvError {
    const message = `${what} at the key-value participant ${this.#name}; nothing was done. Try again a little later, with fewer at a time`
    return new KvError(this.#name, { code: 'KV_BUSY', message, retryable: true })
  }
}
