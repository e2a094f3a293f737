import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { credentialHeaders, type ServiceCredentials } from '../../api/index.ts'
import { formatBranchTicket, makeGid, makeTxid, parseBranchId, parseClusterId, type Txid } from '../../base/index.ts'
import { InvalidOptionsError } from '../../client/index.ts'
import { LocalServers } from '../../localdb/index.ts'
import { type HttpParticipant, type HttpParticipantOptions, httpParticipant, postgresJournal } from './index.ts'

const clusterId = parseClusterId('trips')
const branch = parseBranchId(2)
const secret = 'a secret of some length'
let directory: string
let calls: string[]
let number = 0
let mail: HttpParticipant
let onPrepare: () => Promise<'readOnly' | undefined>
let onCommit: () => Promise<void>

function options(): HttpParticipantOptions {
  const noted = (handler: string) => (key: { readonly gid: string }) => void calls.push(`${handler} ${key.gid}`)
  return {
    name: 'mail',
    clusterId,
    journal: join(directory, 'journal'),
    credentials: { secret },
    prepare: async (key) => {
      noted('prepare')(key)
      return onPrepare()
    },
    commit: async (key) => {
      noted('commit')(key)
      await onCommit()
    },
    abort: noted('abort'),
  }
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cdt-http-'))
  calls = []
  onPrepare = async () => undefined
  onCommit = async () => {}
  mail = await httpParticipant(options())
})
afterEach(async () => {
  await mail.close()
  rmSync(directory, { recursive: true, force: true })
})

type Fetch = (path: string, init: RequestInit) => Promise<Response>

async function listening(server: Server): Promise<Fetch> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return (path, init) => fetch(`http://127.0.0.1:${port}/concordat${path}`, init)
}

/** The same service, offered by each framework as its users would. */
const FRAMEWORKS: Readonly<Record<string, () => Promise<Fetch>>> = {
  node: () => listening(createServer(mail.node())),
  Express: () => {
    const app = express()
    app.use('/concordat', mail.express())
    app.use(express.json())
    return listening(createServer(app))
  },
  Fastify: async () => {
    const app = fastify()
    await app.register(mail.fastify(), { prefix: '/concordat' })
    app.post('/own', async ({ body }) => body)
    await app.listen({ host: '127.0.0.1', port: 0 })
    onTestFinished(() => app.close())
    // The parser of the plugin is the plugin's alone.
    const own = await app.inject({ method: 'POST', url: '/own', payload: { a: 1 } })
    expect(own.json()).toEqual({ a: 1 })
    return (path, init) =>
      fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/concordat${path}`, init)
  },
  Hono: async () => {
    const app = new Hono()
    app.all('/concordat/*', mail.hono())
    return async (path, init) => app.request(`/concordat${path}`, init)
  },
}

function newTxid(): Txid {
  number += 1
  return makeTxid(Date.now(), new Uint8Array(10).fill(number))
}

interface Said {
  readonly status: number
  readonly body: Record<string, unknown>
}

/** A coordinator's side. */
class Caller {
  readonly #fetch: Fetch

  constructor(fetch: Fetch) {
    this.#fetch = fetch
  }

  question(txid: Txid, more: object = {}): object {
    return { cluster: clusterId, participant: 'mail', txid, branch, gid: makeGid(clusterId, txid, branch), ...more }
  }

  async post(path: string, question: object | string, credentials: ServiceCredentials = { secret }): Promise<Said> {
    const body = typeof question === 'string' ? question : JSON.stringify(question)
    const headers = credentialHeaders(credentials, Math.floor(Date.now() / 1_000), {
      method: 'POST',
      target: path,
      body,
    })
    return said(
      await this.#fetch(path, { method: 'POST', body, headers: { ...headers, 'content-type': 'application/json' } }),
    )
  }

  prepare(txid: Txid): Promise<Said> {
    return this.post('/v1/prepare', this.question(txid, { timeoutMs: 1_000 }))
  }

  decide(decision: 'commit' | 'abort', txid: Txid): Promise<Said> {
    return this.post(`/v1/${decision}`, this.question(txid))
  }

  async list(cluster = 'trips'): Promise<Said> {
    const target = `/v1/in-doubt?cluster=${cluster}`
    const seconds = Math.floor(Date.now() / 1_000)
    return said(
      await this.#fetch(target, {
        headers: credentialHeaders({ secret }, seconds, { method: 'GET', target, body: '' }),
      }),
    )
  }
}

async function said(response: Response): Promise<Said> {
  expect(response.headers.get('content-type')).toMatch(/^application\/json/)
  expect(response.headers.get('cache-control')).toBe('no-store')
  const body = (await response.json()) as Record<string, unknown>
  return { status: response.status, body }
}

function ticketOf(txid: Txid, timeoutMs = 30_000): string {
  return formatBranchTicket({ cluster: clusterId, txid, branch, participant: 'mail', timeoutMs })
}

describe.each(Object.keys(FRAMEWORKS))('behind %s', (name) => {
  let caller: Caller
  beforeEach(async () => {
    caller = new Caller(await FRAMEWORKS[name]!())
  })

  test('a branch is listed, votes, is in doubt, and commits; repeats get the same answers', async () => {
    const txid = newTxid()
    const { gid } = await mail.work(ticketOf(txid), (key) => key)
    const identity = { txid, branch, gid }
    const [joined] = (await caller.list()).body.branches as Record<string, unknown>[]
    expect(joined).toMatchObject({ ...identity, state: 'joined' })
    expect(joined?.dueInMs).toBeGreaterThan(39_000)
    for (let i = 0; i < 2; i++) {
      expect(await caller.prepare(txid)).toEqual({ status: 200, body: { ...identity, vote: 'commit' } })
    }
    const inDoubt = { participant: 'mail', branches: [{ ...identity, state: 'prepared', dueInMs: 0 }] }
    expect(await caller.list()).toEqual({ status: 200, body: inDoubt })
    for (let i = 0; i < 2; i++) {
      expect(await caller.decide('commit', txid)).toEqual({ status: 200, body: { ...identity, outcome: 'committed' } })
    }
    expect((await caller.list()).body).toEqual({ participant: 'mail', branches: [] })
    expect(calls).toEqual([`prepare ${gid}`, `commit ${gid}`])
    expect(await caller.decide('abort', txid)).toMatchObject({
      status: 409,
      body: { ...identity, code: 'BRANCH_ENDED_OTHERWISE', outcome: 'committed' },
    })
  })

  test('whoever can’t sign, and what can’t be read, is refused, and nothing is done', async () => {
    const txid = newTxid()
    await mail.work(ticketOf(txid), () => {})
    const question = caller.question(txid)
    const codes = [
      await caller.post('/v1/abort', question, 'none'),
      await caller.post('/v1/abort', question, { secret: 'another secret, as long' }),
      await caller.post('/v1/abort', question, { token: secret }),
      await caller.post('/v1/abort', '{'),
      await caller.post('/v1/abort', caller.question(txid, { gid: makeGid(clusterId, newTxid(), branch) })),
      await caller.post('/v1/abort', caller.question(txid, { branch: 64 })),
      await caller.post('/v1/abort', caller.question(txid, { participant: 'sms' })),
      await caller.post('/v1/abort', caller.question(txid, { cluster: 'other' })),
      await caller.list('other'),
      await caller.prepare(newTxid()),
      await caller.post('/v1/settle', question),
    ].map(({ status, body }) => `${status} ${String(body.code)}`)
    expect(codes).toEqual([
      ...Array<string>(3).fill('401 SERVICE_UNAUTHORIZED'),
      ...Array<string>(3).fill('400 SERVICE_BAD_REQUEST'),
      ...Array<string>(3).fill('409 BRANCH_WRONG_TICKET'),
      '404 BRANCH_UNKNOWN',
      '404 SERVICE_PATH_UNKNOWN',
    ])
    expect(calls).toEqual([])
    expect(mail.open()).toHaveLength(1)
  })

  test('a body that is too long is refused', async () => {
    const post = caller.post('/v1/abort', 'x'.repeat(100_000))
    // Fastify refuses by itself, in its own words; the others answer, or cut the connection.
    const status = await post.then(
      (answer) => answer.status,
      () => 0,
    )
    expect([0, 400, 413]).toContain(status)
    expect(calls).toEqual([])
  })
})

describe('whatever the framework', () => {
  let caller: Caller
  beforeEach(async () => {
    caller = new Caller(await FRAMEWORKS.node!())
  })

  test('a refusal, a reader and an unknown branch', async () => {
    const [refusing, reading, unknown] = [newTxid(), newTxid(), newTxid()]
    for (const txid of [refusing, reading]) await mail.work(ticketOf(txid), () => {})
    onPrepare = async () => {
      throw new Error('no room')
    }
    expect((await caller.prepare(refusing)).body).toMatchObject({ vote: 'abort' })
    expect((await caller.list()).body.branches).toMatchObject([{ state: 'refused', dueInMs: 0 }, { state: 'joined' }])
    onPrepare = async () => 'readOnly'
    expect((await caller.prepare(reading)).body).toMatchObject({ vote: 'readOnly' })
    expect((await caller.decide('abort', refusing)).body).toMatchObject({ outcome: 'aborted' })
    // Another instance held it: any one finishes it (decision 0020).
    expect((await caller.decide('commit', unknown)).body).toMatchObject({ outcome: 'committed' })
    expect(calls.at(-1)).toBe(`commit ${makeGid(clusterId, unknown, branch)}`)
  })

  test('a vote is asked for again after a restart, and is the same; the handler is not', async () => {
    const txid = newTxid()
    await mail.work(ticketOf(txid), () => {})
    await caller.prepare(txid)
    await mail.close()
    expect(await caller.prepare(txid)).toMatchObject({ status: 503, body: { code: 'PARTICIPANT_BUSY' } })
    mail = await httpParticipant(options())
    caller = new Caller(await FRAMEWORKS.node!())
    expect((await caller.list()).body.branches).toMatchObject([{ txid, state: 'prepared' }])
    expect((await caller.prepare(txid)).body).toMatchObject({ vote: 'commit' })
    expect((await caller.decide('commit', txid)).body).toMatchObject({ outcome: 'committed' })
    expect(calls.map((call) => call.split(' ')[0])).toEqual(['prepare', 'commit'])
  })

  test('two who ask at once both hear the vote, and the handler runs once', async () => {
    const txid = newTxid()
    await mail.work(ticketOf(txid), () => {})
    let release = (): void => {}
    onPrepare = () =>
      new Promise((resolve) => {
        release = () => resolve(undefined)
      })
    const both = [caller.prepare(txid), caller.prepare(txid)]
    await expect.poll(() => calls.length).toBe(1)
    await new Promise((resolve) => setTimeout(resolve, 100))
    release()
    for (const answer of await Promise.all(both)) expect(answer.body).toMatchObject({ vote: 'commit' })
    expect(calls).toHaveLength(1)
  })

  test('a commit that fails is not acknowledged: 503 until it is done', async () => {
    const txid = newTxid()
    await mail.work(ticketOf(txid), () => {})
    await caller.prepare(txid)
    let isBroken = true
    onCommit = async () => {
      if (isBroken) throw new Error('the store is away')
    }
    expect(await caller.decide('commit', txid)).toMatchObject({ status: 503, body: { code: 'BRANCH_STILL_WORKING' } })
    // Its decision is known, so nobody has to be told of it.
    expect((await caller.list()).body.branches).toEqual([])
    isBroken = false
    await expect.poll(async () => (await caller.decide('commit', txid)).status, { timeout: 10_000 }).toBe(200)
  })

  test('a call after the decision is refused', async () => {
    const txid = newTxid()
    await caller.decide('abort', txid)
    await expect(mail.work(ticketOf(txid), () => calls.push('work'))).rejects.toMatchObject({ code: 'BRANCH_OVER' })
    expect(calls).not.toContain('work')
  })

  test('Express: a body that was read before is said to be so', async () => {
    const app = express()
    app.use(express.json())
    app.use('/concordat', mail.express())
    const late = new Caller(await listening(createServer(app)))
    expect(await late.prepare(newTxid())).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('before express.json()') as string },
    })
  })

  test('options: credentials must be chosen, and a secret has a length', async () => {
    await mail.close()
    for (const credentials of [undefined, {}, { secret: 'short' }, { secret, token: secret }, { password: secret }]) {
      const wrong = { ...options(), credentials } as unknown as HttpParticipantOptions
      const error = await httpParticipant(wrong).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(InvalidOptionsError)
      expect(String(error)).not.toContain(secret)
    }
    const known = { ...options(), coordinators: ['127.0.0.1:1'] } as HttpParticipantOptions
    await expect(httpParticipant(known)).rejects.toThrow(/coordinators/)
  })
})

test('with a journal in the service’s database any instance answers for a branch, behind one URL', async () => {
  const servers = new LocalServers()
  onTestFinished(() => servers.close())
  const pool = new pg.Pool({ connectionString: (await servers.startPostgres()).url() })
  pool.on('error', () => {})
  onTestFinished(() => pool.end())
  await pool.query('CREATE TABLE seats (gid text PRIMARY KEY, state text)')
  const instance = async () => {
    const started = await httpParticipant({
      ...options(),
      journal: postgresJournal(pool, { create: true }),
      prepare: async ({ gid }, sql) => void (await sql.query("UPDATE seats SET state = 'held' WHERE gid = $1", [gid])),
      commit: async ({ gid }, sql) => void (await sql.query("UPDATE seats SET state = 'real' WHERE gid = $1", [gid])),
      abort: async ({ gid }, sql) => void (await sql.query('DELETE FROM seats WHERE gid = $1', [gid])),
    })
    onTestFinished(() => started.close())
    return { started, caller: new Caller(await listening(createServer(started.node()))) }
  }
  const [one, two] = [await instance(), await instance()]
  const txid = newTxid()
  await one.started.work(ticketOf(txid), async ({ gid }, sql) => {
    await sql.query("INSERT INTO seats VALUES ($1, 'aside')", [gid])
  })
  expect(await two.caller.prepare(txid)).toMatchObject({ status: 200, body: { vote: 'commit' } })
  expect(await one.caller.prepare(txid)).toMatchObject({ status: 200, body: { vote: 'commit' } })
  expect(await one.caller.decide('commit', txid)).toMatchObject({ status: 200, body: { outcome: 'committed' } })
  expect(await two.caller.decide('commit', txid)).toMatchObject({ status: 200, body: { outcome: 'committed' } })
  expect((await pool.query('SELECT state FROM seats')).rows).toEqual([{ state: 'real' }])
  // All branches are in the table: what is not there was never worked for.
  expect(await two.caller.prepare(newTxid())).toMatchObject({ status: 200, body: { vote: 'abort' } })
})
