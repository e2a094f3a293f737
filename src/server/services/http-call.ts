import {
  type AgentOptions,
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { credentialHeaders, type ServiceCredentials } from '../../api/index.ts'
import { type Clock, toError } from '../../base/index.ts'

/** Where a service is, and how it is asked. */
export interface HttpCallerOptions {
  /** Without a slash at its end. */
  readonly url: string
  readonly credentials: ServiceCredentials
  /** PEM: who must have signed the service's certificate; the machine's own authorities when left out. */
  readonly ca: string | undefined
  /** From the question to the last byte of its answer. */
  readonly timeoutMs: number
  /** Connections that are kept open between two calls, at most. */
  readonly idleMax: number
  readonly clock: Clock
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

/**
 * Calls one URL: keeps connections open, follows no redirect, and takes only what can be an answer for one.
 *
 * `node:http` rather than `fetch`: that one has no way to give a certificate authority without another dependency.
 */
export class HttpCaller {
  readonly #options: HttpCallerOptions
  readonly #agent: HttpAgent | HttpsAgent
  /** Opens a new connection for each call. */
  readonly #freshAgent: HttpAgent | HttpsAgent
  readonly #isTls: boolean

  constructor(options: HttpCallerOptions) {
    const { ca, idleMax: maxFreeSockets } = options
    this.#options = options
    this.#isTls = options.url.startsWith('https:')
    const tls = { minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) } as const
    const make = (settings: AgentOptions) =>
      this.#isTls ? new HttpsAgent({ ...settings, ...tls }) : new HttpAgent(settings)
    this.#agent = make({ keepAlive: true, maxFreeSockets })
    this.#freshAgent = make({ keepAlive: false })
  }

  /** @throws Error in plain words when there is no answer that says something */
  async ask(question: HttpQuestion): Promise<HttpAnswer> {
    const first = this.#open(question, this.#agent)
    try {
      return await this.#answerTo(first, question)
    } catch (thrown) {
      // The service closed a connection that was kept open in the moment in which it was used again. That is nobody's
      // fault, and every question may come twice: it is asked at once on another connection.
      if (!first.reusedSocket || !isReset(thrown)) throw thrown
      return await this.#answerTo(this.#open(question, this.#freshAgent), question)
    }
  }

  /** Calls that are under way fail. */
  close(): void {
    this.#agent.destroy()
    this.#freshAgent.destroy()
  }

  async #answerTo(request: ClientRequest, question: HttpQuestion): Promise<HttpAnswer> {
    const { clock, timeoutMs } = this.#options
    let isLate = false
    const timer = clock.after(timeoutMs, () => {
      isLate = true
      request.destroy()
    })
    try {
      const response = await responseTo(request, question.body)
      return read(response, await textOf(response, question.bytesMax))
    } catch (thrown) {
      throw isLate ? new Error(`it did not answer in full within ${timeoutMs} ms`, { cause: thrown }) : thrown
    } finally {
      clock.cancel(timer)
    }
  }

  #open({ method, target, body }: HttpQuestion, agent: HttpAgent | HttpsAgent): ClientRequest {
    const { url, credentials, clock } = this.#options
    const seconds = Math.floor(clock.wallMs() / 1_000)
    const headers = {
      accept: 'application/json',
      'accept-encoding': 'identity',
      ...(method === 'POST' && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      ...credentialHeaders(credentials, seconds, { method, target, body }),
    }
    const open = this.#isTls ? httpsRequest : httpRequest
    return open(`${url}${target}`, { method, headers, agent })
  }
}

function responseTo(request: ClientRequest, body: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.on('response', resolve)
    // Stays for what happens later: without a listener it would end the process.
    request.on('error', (error) => reject(new Error(`it can’t be reached: ${reasonOf(error)}`, { cause: error })))
    // After a 101, which nobody asked for, Node closes the connection without a word. Nothing, when there was a response.
    request.on('close', () => reject(new Error('it closed the connection without an answer to the question')))
    request.end(body)
  })
}

async function textOf(response: IncomingMessage, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > bytesMax) break
      chunks.push(chunk)
    }
  } catch (thrown) {
    throw new Error(`its answer broke off: ${reasonOf(toError(thrown))}`, { cause: thrown })
  }
  if (bytes > bytesMax) throw new Error(`its answer is longer than ${bytesMax} bytes`)
  return Buffer.concat(chunks).toString('utf8')
}

function read(response: IncomingMessage, text: string): HttpAnswer {
  const { statusCode: status = 0, headers } = response
  if (status >= 300 && status < 400) {
    throw new Error(`it answered ${status}, a redirect, and these are not followed; configure the URL that it leads to`)
  }
  if (status !== 200 && status !== 409) throw new Error(`it answered ${status}${problemIn(headers, text)}`)
  if (!isJson(headers)) {
    const type = headers['content-type']
    throw new Error(
      `it answered ${status} with ${type === undefined ? 'no content type' : short(type)}, not application/json`,
    )
  }
  try {
    return { status, body: JSON.parse(text) as unknown }
  } catch (cause) {
    throw new Error(`it answered ${status} with a body that is not JSON`, { cause })
  }
}

function isJson(headers: IncomingMessage['headers']): boolean {
  const encoding = headers['content-encoding'] ?? 'identity'
  return encoding === 'identity' && /^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '')
}

/** A short word of the service's own, when it gave one. */
function problemIn(headers: IncomingMessage['headers'], text: string): string {
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

function isReset(thrown: unknown): boolean {
  const { cause } = thrown as { readonly cause?: { readonly code?: string } }
  return cause?.code === 'ECONNRESET'
}

/** Node joins the failures of all addresses of a name in an error without words. */
function reasonOf(error: Error): string {
  const { code } = error as { readonly code?: string }
  return error.message === '' ? (code ?? error.name) : error.message
}
