import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type BranchId, formatCallTicket, makeTxid, parseCallReport, REPORT_HEADER } from '../../base/index.ts'
import { FakeFleet } from '../../client/fake-coordinators.support.ts'
import { currentTransaction, InvalidOptionsError, type Transaction } from '../../client/index.ts'
import { MemoryResource } from '../../client/memory-resource.support.ts'
import { type Joining, joining } from './joining.ts'
import type { JoiningOptions } from './options.ts'

// The same service behind each framework. What becomes of its branches is told in test/joining, over real databases.

type Call = (path: string, headers?: Record<string, string>) => Promise<Response>

let fleet: FakeFleet
let stock: MemoryResource
let joins: Joining
let transactions: (Transaction | undefined)[]
let number = 0

beforeEach(async () => {
  fleet = await FakeFleet.start(1)
  stock = new MemoryResource('stock')
  transactions = []
  joins = await joining(options())
  return async () => {
    await joins.close()
    await fleet.close()
  }
})

function options(): JoiningOptions {
  const coordinators = fleet.addresses.map(({ host, port }) => `${host}:${port}`)
  return { coordinators, clusterId: fleet.clusterId, resources: [stock], closeTimeoutMs: 50 }
}

/** What every handler does. */
async function work(request: object): Promise<string> {
  const tx = joins.transaction(request)
  transactions.push(tx)
  // What plain calls of a database go by, also after the body was read and something awaited.
  await new Promise((resolve) => setImmediate(resolve))
  expect(currentTransaction()).toBe(tx)
  await tx?.enlist(stock)
  return tx === undefined ? 'plain' : 'joined'
}

async function listening(listener: RequestListener): Promise<Call> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return (path, headers = {}) => fetch(`http://127.0.0.1:${port}${path}`, { headers })
}

const FRAMEWORKS: Record<string, () => Promise<Call>> = {
  node: () =>
    listening(
      joins.node(async (request, response) => {
        const body = await work(request)
        if (request.url === '/broken') response.writeHead(500, 'No', { 'x-own': '1' }).end('no')
        else if (request.url === '/refused') {
          response.statusCode = 404
          response.end()
        } else {
          response.setHeader('x-own', '1')
          response.write(body.slice(0, 2))
          response.end(body.slice(2))
        }
      }) as RequestListener,
    ),
  express: () => {
    const app = express()
    app.use(joins.express())
    app.get('/good', async (request, response) => {
      response.set('x-own', '1').json(await work(request))
    })
    app.get('/refused', async (request, response) => {
      await work(request)
      response.sendStatus(404)
    })
    app.get('/broken', async (request) => {
      await work(request)
      throw new Error('broken')
    })
    return listening(app)
  },
  fastify: async () => {
    const app = fastify()
    app.register(joins.fastify())
    app.get('/good', async (request, reply) => {
      reply.header('x-own', '1')
      return { body: await work(request) }
    })
    app.get('/refused', async (request, reply) => {
      await work(request)
      return reply.code(404).send()
    })
    app.get('/broken', async (request) => {
      await work(request)
      throw new Error('broken')
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    onTestFinished(() => app.close())
    const { port } = app.server.address() as AddressInfo
    return (path, headers = {}) => fetch(`http://127.0.0.1:${port}${path}`, { headers })
  },
  hono: async () => {
    const app = new Hono()
    app.use(joins.hono())
    app.get('/good', async (context) => context.text(await work(context.req.raw), 200, { 'x-own': '1' }))
    app.get('/refused', async (context) => {
      await work(context.req.raw)
      return context.notFound()
    })
    app.get('/broken', async (context) => {
      await work(context.req.raw)
      throw new Error('broken')
    })
    return async (path, headers = {}) => app.request(path, { headers })
  },
  fetch: async () => {
    const handler = joins.fetch(async (request) => {
      const body = await work(request)
      const status = { '/good': 200, '/refused': 404, '/broken': 500 }[new URL(request.url).pathname] ?? 400
      return new Response(body, { status, headers: { 'x-own': '1' } })
    })
    return async (path, headers = {}) => handler(new Request(`http://service${path}`, { headers }))
  },
}

function ticket(): string {
  number += 1
  const txid = makeTxid(Date.now(), new Uint8Array(10).fill(number))
  const numbers = [5, 6] as BranchId[]
  return formatCallTicket({ cluster: fleet.clusterId, txid, call: 3, numbers, timeoutMs: 10_000 })
}

function reportOf(response: Response) {
  return parseCallReport(response.headers.get(REPORT_HEADER) ?? '')
}

describe.each(Object.keys(FRAMEWORKS))('behind %s', (name) => {
  let call: Call
  beforeEach(async () => {
    call = await FRAMEWORKS[name]!()
  })

  test('a call inside a transaction joins it, and its answer reports the branch', async () => {
    const response = await call('/good', { 'concordat-tx': ticket() })
    expect([response.status, response.headers.get('x-own')]).toEqual([200, '1'])
    expect(await response.text()).toContain('joined')
    const [tx] = transactions
    const participant = expect.stringMatching(/^joined\.[0-9a-f]{12}\.stock$/) as string
    const branches = [{ branch: 5, kind: 'service', participant }]
    expect(reportOf(response)).toEqual({ txid: tx?.txid, call: 3, state: 'joined', branches })
    expect(stock.branches[0]?.log).toEqual([])
    // The report is out: nothing more can come in.
    await expect(tx?.enlist(new MemoryResource('late'))).rejects.toMatchObject({ code: 'TXN_ENDED' })
  })

  test.each(['/refused', '/broken'])('an answer that says %s rolls back what the call did', async (path) => {
    const response = await call(path, { 'concordat-tx': ticket() })
    expect(response.status).toBe(path === '/broken' ? 500 : 404)
    expect(reportOf(response)).toMatchObject({ call: 3, state: 'failed', branches: [] })
    await expect.poll(() => stock.branches[0]?.log).toEqual(['abort'])
  })

  test('an ordinary call is an ordinary call', async () => {
    const response = await call('/good')
    expect(await response.text()).toContain('plain')
    expect(response.headers.get(REPORT_HEADER)).toBeNull()
    expect(transactions).toEqual([undefined])
  })

  test('a wrong header is refused with a code, and the handler does not run', async () => {
    const response = await call('/good', { 'concordat-tx': 'cdt_test_x;stock;1000' })
    expect(response.status).toBe(400)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(await response.json()).toMatchObject({ code: 'JOIN_BAD_HEADER' })
    expect(transactions).toEqual([])
  })
})

test('options are checked', async () => {
  const wrong: [string, object][] = [
    ['resources', { resources: [] }],
    ['resources[0]', { resources: [new MemoryResource('x'.repeat(45))] }],
    ['resources[1]', { resources: [stock, new MemoryResource('stock')] }],
    ['openMax', { openMax: 0 }],
    ['timeoutMaxMs', { timeoutMaxMs: 1.5 }],
    ['clusterId', { clusterId: 7 }],
    ['journal', { journal: './x' }],
  ]
  for (const [key, change] of wrong) {
    const work = (async () => joining({ ...options(), ...change } as JoiningOptions))()
    const error = await work.catch((thrown: unknown) => thrown)
    expect(error, key).toBeInstanceOf(InvalidOptionsError)
    expect(error).toMatchObject({ key })
  }
})
