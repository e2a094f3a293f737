import { credentialHeaders, type ServiceCredentials } from '../../api/index.ts'
import type { Clock } from '../../base/index.ts'
import {
  type HttpExchange,
  type HttpPlace,
  type HttpRequest,
  type HttpResponse,
  NodeHttpExchange,
} from './http-exchange.ts'

/** Where a service is, and how it is asked. */
export interface HttpCallerOptions extends HttpPlace {
  readonly credentials: ServiceCredentials
  /** From the question to the last byte of its answer. */
  readonly timeoutMs: number
  readonly clock: Clock
  /** Default: over `node:http`. */
  readonly exchange?: ((place: HttpPlace) => HttpExchange) | undefined
}

/** One question. */
export interface HttpQuestion {
  readonly method: 'GET' | 'POST'
  /** From `/v1` on. */
  readonly target: string
  readonly body: string
  /** A longer answer is none. */
  readonly bytesMax: number
}

/** An answer that says something: 200, or 409 with its reason. Anything else is thrown. */
export interface HttpAnswer {
  readonly status: 200 | 409
  readonly body: unknown
}

/** Calls one URL, and takes only what can be an answer for one. Redirects are not followed. */
export class HttpCaller {
  readonly #options: HttpCallerOptions
  readonly #exchange: HttpExchange

  constructor(options: HttpCallerOptions) {
    const { exchange = (place) => new NodeHttpExchange(place) } = options
    this.#options = options
    this.#exchange = exchange(options)
  }

  /** @throws Error in plain words when there is no answer that says something */
  async ask(question: HttpQuestion): Promise<HttpAnswer> {
    const { clock, timeoutMs } = this.#options
    const late = new AbortController()
    const timer = clock.after(timeoutMs, () => late.abort())
    try {
      return read(await this.#exchange.send({ ...question, headers: this.#headersOf(question), signal: late.signal }))
    } catch (thrown) {
      throw late.signal.aborted
        ? new Error(`it did not answer in full within ${timeoutMs} ms`, { cause: thrown })
        : thrown
    } finally {
      clock.cancel(timer)
    }
  }

  /** Calls that are under way fail. */
  close(): void {
    this.#exchange.close()
  }

  #headersOf({ method, target, body }: HttpQuestion): HttpRequest['headers'] {
    const { credentials, clock } = this.#options
    const seconds = Math.floor(clock.wallMs() / 1_000)
    return {
      accept: 'application/json',
      'accept-encoding': 'identity',
      ...(method === 'POST' && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      ...credentialHeaders(credentials, seconds, { method, target, body }),
    }
  }
}

function read({ status, headers, text }: HttpResponse): HttpAnswer {
  if (status >= 300 && status < 400) {
    throw new Error(`it answered ${status}, a redirect, and these are not followed; configure the URL that it leads to`)
  }
  if (status !== 200 && status !== 409) throw new Error(`it answered ${status}${problemIn(headers, text)}`)
  if (!isJson(headers)) {
    const type = headers['content-type']
    throw new Error(
      `it answered ${status} with ${type === undefined ? 'no content type' : short(String(type))}, not application/json`,
    )
  }
  try {
    return { status, body: JSON.parse(text) as unknown }
  } catch (cause) {
    throw new Error(`it answered ${status} with a body that is not JSON`, { cause })
  }
}

function isJson(headers: HttpResponse['headers']): boolean {
  const encoding = headers['content-encoding'] ?? 'identity'
  return encoding === 'identity' && /^application\/json\s*(;|$)/i.test(String(headers['content-type'] ?? ''))
}

/** A short word of the service's own, when it gave one. */
function problemIn(headers: HttpResponse['headers'], text: string): string {
  if (!isJson(headers)) return ''
  try {
    return problemOf(JSON.parse(text))
  } catch {
    return ''
  }
}

/** ` (CODE: message)` of a body that names a problem; nothing of any other. */
export function problemOf(body: unknown): string {
  const { code, message } = Object(body) as { readonly code?: unknown; readonly message?: unknown }
  return typeof code === 'string' ? ` (${short(`${code}: ${String(message)}`)})` : ''
}

/** Others' words, as they may stand in a line of a log or on an operator's terminal. */
function short(text: string): string {
  return text.slice(0, 200).replace(/\p{C}/gu, '?')
}
