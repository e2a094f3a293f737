import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { type DecisionRequest, SERVICE_PATHS } from '../../api/index.ts'

/** A question as it came. */
export interface Asked {
  readonly path: string
  readonly question: DecisionRequest
  readonly headers: IncomingMessage['headers']
}

/** How a test lets the service answer. */
export type Answerer = (response: ServerResponse, asked: Asked) => void

/** A real HTTP server that answers as a test says. */
export class ScriptedService {
  readonly asked: Asked[] = []
  /** What `in-doubt` lists. */
  branches: readonly object[] = []
  list: (response: ServerResponse) => void = (response) =>
    send(response, { participant: 'payments', branches: this.branches })
  /** The next answers; when there are none left it does everything right. */
  readonly script: Answerer[] = []
  readonly #server: Server
  readonly #scheme: string
  readonly #connections = new Set<unknown>()

  private constructor(tls: ServerOptions | undefined) {
    const listener = (request: IncomingMessage, response: ServerResponse) => void this.#answer(request, response)
    this.#server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
    this.#scheme = tls === undefined ? 'http' : 'https'
  }

  static async start(tls?: ServerOptions): Promise<ScriptedService> {
    const service = new ScriptedService(tls)
    service.#server.on('connection', (socket) => void service.#connections.add(socket))
    service.#server.listen(0, '127.0.0.1')
    await once(service.#server, 'listening')
    return service
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}/concordat`
  }

  /** Connections that were ever opened. */
  get connections(): number {
    return this.#connections.size
  }

  /** How often it was asked this. */
  count(path: string): number {
    return this.asked.filter((each) => each.path === path).length
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = ''] = (request.url ?? '').replace('/concordat', '').split('?')
    const question = (request.method === 'POST' ? await json(request) : {}) as DecisionRequest
    const asked = { path, question, headers: request.headers }
    if (path === SERVICE_PATHS.inDoubt) return this.list(response)
    this.asked.push(asked)
    const answer = this.script.shift() ?? right
    answer(response, asked)
  }
}

/** What a service should say. */
export function rightBody({ path, question: { txid, branch, gid } }: Asked): object {
  const said = { '/v1/prepare': { vote: 'commit' }, '/v1/commit': { outcome: 'committed' } }[path]
  return { txid, branch, gid, ...(said ?? { outcome: 'aborted' }) }
}

export function right(response: ServerResponse, asked: Asked): void {
  send(response, rightBody(asked))
}

export function send(response: ServerResponse, body: unknown, status = 200, type = 'application/json'): void {
  response.writeHead(status, { 'content-type': type }).end(typeof body === 'string' ? body : JSON.stringify(body))
}
