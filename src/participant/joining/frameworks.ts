import type { IncomingMessage, ServerResponse } from 'node:http'
import { BRANCH_HEADER, REPORT_HEADER } from '../../base/index.ts'
import type { JoinedTransaction } from '../../client/index.ts'
import { ANSWER_HEADERS } from '../http/desk-answer.ts'
import type { Gate, RefusedCall } from './gate.ts'
import type { TransactionsOfCalls } from './transactions-of-calls.ts'

/** A handler for `http.createServer`. */
export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => unknown
/** A middleware of Express (and of Connect). */
export type ExpressMiddleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void
/** A handler of `Request` and `Response`. */
export type FetchHandler = (request: Request) => Promise<Response> | Response

/** The part of Hono's context that is used. */
export interface HonoContext {
  readonly req: { readonly raw: Request }
  res: Response
  readonly error: Error | undefined
}
/** A middleware of Hono. */
export type HonoMiddleware = (context: HonoContext, next: () => Promise<void>) => Promise<Response | undefined>

/** The part of a Fastify instance that is used. */
export interface FastifyInstance {
  addHook(name: 'onRequest', hook: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>): unknown
  addHook(
    name: 'preValidation',
    hook: (request: FastifyRequest, reply: FastifyReply, done: () => void) => void,
  ): unknown
  addHook(
    name: 'onSend',
    hook: (request: FastifyRequest, reply: FastifyReply, payload: unknown) => Promise<unknown>,
  ): unknown
}
/** The part of a Fastify request that is used. */
export interface FastifyRequest {
  readonly raw: IncomingMessage
}
/** The part of a Fastify reply that is used. */
export interface FastifyReply {
  readonly raw: ServerResponse
  readonly statusCode: number
  code(status: number): FastifyReply
  header(name: string, value: string): FastifyReply
  send(body: string): unknown
}
/** A plugin of Fastify. */
export type FastifyJoining = (instance: FastifyInstance) => Promise<void>

/** From this status on an answer says that the call failed: what it did is rolled back. */
const FAILED_STATUS = 400

/** For Express: a call of a transaction goes on inside it. */
export function expressMiddleware(gate: Gate, calls: TransactionsOfCalls): ExpressMiddleware {
  return (request, response, next) => {
    joinNode(gate, calls, request, response, next)
  }
}

/** For `node:http`. */
export function nodeJoining(gate: Gate, calls: TransactionsOfCalls, handler: NodeHandler): NodeHandler {
  return (request, response) => joinNode(gate, calls, request, response, () => handler(request, response))
}

/** For Fastify. */
export function fastifyJoining(gate: Gate, calls: TransactionsOfCalls): FastifyJoining {
  const byRequest = new WeakMap<IncomingMessage, JoinedTransaction>()
  const plugin: FastifyJoining = async (instance) => {
    instance.addHook('onRequest', async ({ raw }, reply) => {
      const admitted = gate.admit(single(raw.headers[BRANCH_HEADER]))
      if (admitted.kind === 'refused') {
        for (const [name, value] of Object.entries(headersOf(admitted))) reply.header(name, value)
        return reply.code(admitted.status).send(bodyOf(admitted))
      }
      if (admitted.kind === 'plain') return undefined
      const { joined } = admitted
      calls.set(raw, joined.tx)
      byRequest.set(raw, joined)
      reply.raw.once('close', () => joined.seal(false))
      return undefined
    })
    // Reading the body loses the context of the hooks before it.
    instance.addHook('preValidation', ({ raw }, _reply, done) => {
      const joined = byRequest.get(raw)
      if (joined === undefined) done()
      else joined.call(done)
    })
    instance.addHook('onSend', async ({ raw }, reply, payload) => {
      const joined = byRequest.get(raw)
      if (joined !== undefined) reply.header(REPORT_HEADER, joined.seal(reply.statusCode < FAILED_STATUS))
      return payload
    })
  }
  // Fastify's own sign for "not only inside of this plugin".
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true })
}

/** For Hono. */
export function honoMiddleware(gate: Gate, calls: TransactionsOfCalls): HonoMiddleware {
  return async (context, next) => {
    const request = context.req.raw
    const admitted = gate.admit(request.headers.get(BRANCH_HEADER) ?? undefined)
    if (admitted.kind === 'refused') return answerOf(admitted)
    if (admitted.kind === 'plain') {
      await next()
      return undefined
    }
    const { joined } = admitted
    calls.set(request, joined.tx)
    try {
      await joined.call(next)
    } catch (error) {
      joined.seal(false)
      throw error
    }
    const succeeded = context.error === undefined && context.res.status < FAILED_STATUS
    context.res = withReport(context.res, joined.seal(succeeded))
    return undefined
  }
}

/** For everything else that speaks in `Request` and `Response`. */
export function fetchJoining(gate: Gate, calls: TransactionsOfCalls, handler: FetchHandler): FetchHandler {
  return async (request) => {
    const admitted = gate.admit(request.headers.get(BRANCH_HEADER) ?? undefined)
    if (admitted.kind === 'refused') return answerOf(admitted)
    if (admitted.kind === 'plain') return handler(request)
    const { joined } = admitted
    calls.set(request, joined.tx)
    try {
      const response = await joined.call(() => handler(request))
      return withReport(response, joined.seal(response.status < FAILED_STATUS))
    } finally {
      joined.seal(false)
    }
  }
}

/** Refuses the call, or goes on with it. */
function joinNode(
  gate: Gate,
  calls: TransactionsOfCalls,
  request: IncomingMessage,
  response: ServerResponse,
  goOn: () => unknown,
): unknown {
  const admitted = gate.admit(single(request.headers[BRANCH_HEADER]))
  if (admitted.kind === 'refused') {
    return response.writeHead(admitted.status, headersOf(admitted)).end(bodyOf(admitted))
  }
  if (admitted.kind === 'plain') return goOn()
  const { joined } = admitted
  calls.set(request, joined.tx)
  reportIn(response, joined)
  return joined.call(goOn)
}

/** The report must stand among the headers, and whatever sends an answer calls `writeHead` first, Node itself too. */
function reportIn(response: ServerResponse, joined: JoinedTransaction): void {
  const { writeHead } = response
  response.writeHead = ((status: number, ...rest: unknown[]) => {
    if (!response.headersSent) response.setHeader(REPORT_HEADER, joined.seal(status < FAILED_STATUS))
    return Reflect.apply(writeHead, response, [status, ...rest]) as ServerResponse
  }) as ServerResponse['writeHead']
  // The caller hung up before the answer: it will never report this call.
  response.once('close', () => joined.seal(false))
}

function headersOf({ report }: RefusedCall): Record<string, string> {
  return { ...ANSWER_HEADERS, ...(report !== undefined && { [REPORT_HEADER]: report }) }
}

function bodyOf({ code, message }: RefusedCall): string {
  return JSON.stringify({ code, message })
}

function answerOf(refused: RefusedCall): Response {
  return new Response(bodyOf(refused), { status: refused.status, headers: headersOf(refused) })
}

/** A response of `fetch` has headers that can't be changed. */
function withReport(response: Response, report: string): Response {
  const headers = new Headers(response.headers)
  headers.set(REPORT_HEADER, report)
  const { status, statusText } = response
  return new Response(response.body, { status, statusText, headers })
}

/** Node joins a header that comes twice with a comma; then it can't be read, and is refused. */
function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value
}
