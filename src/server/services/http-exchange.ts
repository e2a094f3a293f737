import {
  type AgentOptions,
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { toError } from '../../base/index.ts'

/** A request, complete. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  /** From `/v1` on. */
  readonly target: string
  readonly headers: Readonly<Record<string, string | number>>
  readonly body: string
  /** A longer answer is none. */
  readonly bytesMax: number
  /** Ends it: nobody waits any more. */
  readonly signal: AbortSignal
}

/** Whatever came back. */
export interface HttpResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly text: string
}

/** Where requests go. */
export interface HttpPlace {
  /** Without a slash at its end. */
  readonly url: string
  /** PEM: who must have signed the service's certificate; the machine's own authorities when left out. */
  readonly ca: string | undefined
  /** Connections that are kept open between two calls, at most. */
  readonly idleMax: number
}

/** The seam to HTTP: `node:http` in production; the simulator has its own. */
export interface HttpExchange {
  /** @throws Error in plain words when there is no answer in full */
  send(request: HttpRequest): Promise<HttpResponse>
  /** What is under way fails. */
  close(): void
}

/**
 * Over `node:http`: keeps connections open, and follows no redirect. Not `fetch`: that one has no way to give a certificate
 * authority without another dependency.
 */
export class NodeHttpExchange implements HttpExchange {
  readonly #url: string
  readonly #agent: HttpAgent | HttpsAgent
  /** Opens a new connection for each call. */
  readonly #freshAgent: HttpAgent | HttpsAgent
  readonly #isTls: boolean

  constructor({ url, ca, idleMax: maxFreeSockets }: HttpPlace) {
    this.#url = url
    this.#isTls = url.startsWith('https:')
    const tls = { minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) } as const
    const make = (settings: AgentOptions) =>
      this.#isTls ? new HttpsAgent({ ...settings, ...tls }) : new HttpAgent(settings)
    this.#agent = make({ keepAlive: true, maxFreeSockets })
    this.#freshAgent = make({ keepAlive: false })
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const first = this.#open(request, this.#agent)
    try {
      return await answerTo(first, request)
    } catch (thrown) {
      // The service closed a connection that was kept open in the moment in which it was used again. That is nobody's
      // fault, and every question may come twice: it is asked at once on another connection.
      if (request.signal.aborted || !first.reusedSocket || !isReset(thrown)) throw thrown
      return await answerTo(this.#open(request, this.#freshAgent), request)
    }
  }

  close(): void {
    this.#agent.destroy()
    this.#freshAgent.destroy()
  }

  #open({ method, target, headers, signal }: HttpRequest, agent: HttpAgent | HttpsAgent): ClientRequest {
    const open = this.#isTls ? httpsRequest : httpRequest
    return open(`${this.#url}${target}`, { method, headers, agent, signal })
  }
}

async function answerTo(request: ClientRequest, { body, bytesMax }: HttpRequest): Promise<HttpResponse> {
  const response = await responseTo(request, body)
  const { statusCode: status = 0, headers } = response
  return { status, headers, text: await textOf(response, bytesMax) }
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

function isReset(thrown: unknown): boolean {
  const { cause } = thrown as { readonly cause?: { readonly code?: string } }
  return cause?.code === 'ECONNRESET'
}

/** Node joins the failures of all addresses of a name in an error without words. */
function reasonOf(error: Error): string {
  const { code } = error as { readonly code?: string }
  return error.message === '' ? (code ?? error.name) : error.message
}
