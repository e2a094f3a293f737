import type { KvSession } from '../port/index.ts'
import type { KvAnswer, KvRequest } from '../wire/index.ts'
import { closed } from './errors.ts'
import { type KvChannel, type KvLine, LineLostError } from './line.ts'

/** The way to a participant in the same process: no bytes are made. */
export class LocalChannel implements KvChannel {
  readonly #participant: string
  readonly #line: LocalLine

  constructor(participant: string, session: KvSession) {
    this.#participant = participant
    this.#line = new LocalLine(session)
  }

  async line(_timeoutMs: number, signal?: AbortSignal): Promise<KvLine> {
    if (!this.#line.isOpen) throw closed(this.#participant)
    signal?.throwIfAborted()
    return this.#line
  }

  async close(): Promise<void> {
    this.#line.end()
  }
}

class LocalLine implements KvLine {
  readonly #session: KvSession
  /** Reads of their own. Nothing rolls them back with the session, so nobody else would tell those who wait. */
  readonly #reads = new Set<(error: Error) => void>()
  isOpen = true

  constructor(session: KvSession) {
    this.#session = session
  }

  async call(request: KvRequest): Promise<KvAnswer> {
    if (!this.isOpen) throw new LineLostError('it was closed')
    const answer = this.#session.call(request, bytesOf(request)).catch((cause: unknown) => {
      throw new LineLostError('the participant failed', { cause })
    })
    return isRead(request) ? this.#untilTheEnd(answer) : answer
  }

  end(): void {
    this.isOpen = false
    this.#session.end()
    for (const reject of this.#reads) reject(new LineLostError('it was closed'))
  }

  #untilTheEnd(answer: Promise<KvAnswer>): Promise<KvAnswer> {
    return new Promise((resolve, reject) => {
      this.#reads.add(reject)
      answer.then(resolve, reject).finally(() => this.#reads.delete(reject))
    })
  }
}

function isRead(request: KvRequest): boolean {
  return request.kind === 'alone' && (request.statement.kind === 'get' || request.statement.kind === 'scan')
}

/** About what a request holds in memory. */
function bytesOf(request: KvRequest): number {
  if (request.kind !== 'work' && request.kind !== 'alone') return 64
  const { statement } = request
  const value = statement.kind === 'put' || statement.kind === 'compareAndSet' ? statement.value : undefined
  return 128 + (typeof value === 'object' || typeof value === 'string' ? value.length : 0)
}
