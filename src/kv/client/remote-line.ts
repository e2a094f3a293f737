import type { ClusterId } from '../../base/index.ts'
import {
  type Connection,
  FrameTooLargeError,
  type Hello,
  type Message,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
} from '../../transport/index.ts'
import { decodeAnswer, encodeRequest, isWork, type KvAnswer, type KvRequest } from '../wire/index.ts'
import { KvError } from './errors.ts'
import { type KvLine, LineLostError } from './line.ts'

/** Work without an answer, at most; as much as the participant takes of one connection. */
const CALLS_MAX = 1_000
/** Bytes that wait to be sent, at which no more work is taken: the connection's own cap is left to what ends the work. */
const WORK_BYTES_MAX = 8 * 1024 * 1024

/** What the dialer says; the name is the participant's that it looks for. */
export function kvHello(name: string, clusterId: ClusterId | undefined): Hello {
  const [protocolMajor, protocolMinor] = [PROTOCOL_MAJOR, PROTOCOL_MINOR]
  return { kind: 'hello', protocolMajor, protocolMinor, role: 'kv', clusterId, node: undefined, name }
}

interface Pending {
  readonly isWork: boolean
  readonly resolve: (answer: KvAnswer) => void
  readonly reject: (error: Error) => void
}

/** One connection. */
export class RemoteLine implements KvLine {
  readonly #name: string
  readonly #connection: Connection
  readonly #pending = new Map<number, Pending>()
  #requests = 0
  #work = 0

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
    const work = isWork(request)
    if (work && this.#work >= CALLS_MAX) throw this.#busy(`${CALLS_MAX} requests wait for their answer`)
    const requestId = ++this.#requests
    const isSent = !(work && this.#connection.bytesQueued >= WORK_BYTES_MAX) && this.#send(requestId, payload)
    if (!isSent) throw this.#busy('too much waits to be sent')
    if (work) this.#work += 1
    return new Promise((resolve, reject) => this.#pending.set(requestId, { isWork: work, resolve, reject }))
  }

  receive(message: Message): void {
    if (message.kind !== 'kvAnswer') return
    const pending = this.#pending.get(message.requestId)
    if (pending === undefined) return
    this.#pending.delete(message.requestId)
    if (pending.isWork) this.#work -= 1
    try {
      pending.resolve(decodeAnswer(message.payload))
    } catch (error) {
      pending.reject(new LineLostError('its answer can not be read', { cause: error }))
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
