import type { KvSession } from '../port/index.ts'
import type { KvAnswer, KvRequest } from '../wire/index.ts'
import { type KvChannel, type KvLine, LineLostError } from './line.ts'

/** The way to a participant in the same process: no bytes are made. */
export class LocalChannel implements KvChannel {
  readonly #line: LocalLine

  constructor(session: KvSession) {
    this.#line = new LocalLine(session)
  }

  async line(_timeoutMs: number, signal?: AbortSignal): Promise<KvLine> {
    signal?.throwIfAborted()
    return this.#line
  }

  async close(): Promise<void> {
    this.#line.end()
  }
}

class LocalLine implements KvLine {
  readonly #session: KvSession
  isOpen = true

  constructor(session: KvSession) {
    this.#session = session
  }

  async call(request: KvRequest): Promise<KvAnswer> {
    if (!this.isOpen) throw new LineLostError('it was closed')
    try {
      return await this.#session.call(request, bytesOf(request))
    } catch (cause) {
      throw new LineLostError('the participant failed', { cause })
    }
  }

  end(): void {
    this.isOpen = false
    this.#session.end()
  }
}

/** About what a request holds in memory. */
function bytesOf(request: KvRequest): number {
  if (request.kind !== 'work' && request.kind !== 'alone') return 64
  const { statement } = request
  const value = statement.kind === 'put' || statement.kind === 'compareAndSet' ? statement.value : undefined
  return 128 + (typeof value === 'object' || typeof value === 'string' ? value.length : 0)
}
