import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { checkCredentials } from '../../api/index.ts'
import {
  type BranchId,
  makeGid,
  makeTxid,
  parseBranchId,
  parseClusterId,
  sleep,
  systemClock,
  type Txid,
} from '../../base/index.ts'
import { type Reply, silentLogger } from '../../coordinator/index.ts'
import { dial, memoryNetwork, PROTOCOL_MAJOR, PROTOCOL_MINOR } from '../../transport/index.ts'
import type { BranchRecord } from '../../txn/index.ts'
import { MemoryDisk } from '../../wal/index.ts'
import { configSchema } from '../config.ts'
import { CoordinatorServer } from '../server.ts'
import { type Answerer, right, rightBody, ScriptedService, send } from './scripted-service.support.ts'

const clusterId = parseClusterId('trips')
const branch = parseBranchId(3)
/** What the coordinator of this test warned of. One that was stopped before may still say something, to its own list. */
let warnings: string[] = []
let server: CoordinatorServer
let service: ScriptedService
let network: ReturnType<typeof memoryNetwork>
let number = 0

beforeEach(async () => {
  service = await ScriptedService.start()
  network = memoryNetwork()
})
afterEach(async () => {
  service.close()
  await server.stop()
})

async function startCoordinator(more: object = {}, url: string | string[] = service.url): Promise<void> {
  const members = [{ id: 1, address: '10.0.0.1:7400' }]
  const participants = [{ name: 'payments', url, timeoutMs: 1_000, ...more }]
  const resolver = { scanMs: 100, graceMs: 100 }
  const config = configSchema.parse({ cluster: 'trips', node: 1, data: '/data', members, participants, resolver })
  const said: string[] = []
  warnings = said
  const logger = {
    ...silentLogger,
    warn: (fields: { readonly err?: Error }, message: string) =>
      void said.push(`${message} ${fields.err?.message ?? ''}`),
  }
  const seams = { network, disk: new MemoryDisk(), resources: [] }
  server = await CoordinatorServer.start(config, logger, seams)
  while (!server.status().serving) await sleep(systemClock, 5)
}

function newTxid(): Txid {
  number += 1
  return makeTxid(Date.now(), new Uint8Array(10).fill(number))
}

function commit(timeoutMs = 20_000, txid = newTxid()): Promise<Reply> {
  const record: BranchRecord = {
    branch,
    kind: 'service',
    participant: 'payments',
    vote: undefined,
    evidence: undefined,
  }
  const request = { clusterId, txid, timeoutMs, branches: [record] }
  return new Promise((resolve) => server.coordinator.commit(request, resolve))
}

const committed = { kind: 'outcome', outcome: { kind: 'committed' } }
const finished = () => server.coordinator.status().undeliveredCount === 0

function listed(txid: Txid, state: string, dueInMs: number, id: BranchId = branch): object {
  return { txid, branch: id, gid: makeGid(clusterId, txid, id), state, dueInMs }
}

/** What is no answer, with a piece of what the log says of it. */
const NOT_ANSWERS: readonly (readonly [string, Answerer, string])[] = [
  ['500 with the right body', (r, asked) => send(r, rightBody(asked), 500), 'it answered 500'],
  ['503 that names a problem', (r) => send(r, { code: 'BUSY', message: 'later' }, 503), '503 (BUSY: later)'],
  [
    '503 with words that would steer a terminal',
    (r) => send(r, { code: 'X', message: '\u001b[2J\n' }, 503),
    '503 (X: ?[2J?)',
  ],
  ['404 with the right body', (r, asked) => send(r, rightBody(asked), 404), 'it answered 404'],
  ['202 with the right body', (r, asked) => send(r, rightBody(asked), 202), 'it answered 202'],
  ['204 without a body', (r) => void r.writeHead(204).end(), 'it answered 204'],
  ['409 that says nothing', (r) => send(r, {}, 409), 'it answered 409'],
  ['a redirect', (r) => void r.writeHead(302, { location: '/concordat/v1/elsewhere' }).end(), '302, a redirect'],
  [
    'a redirect that keeps the method',
    (r) => void r.writeHead(307, { location: '/concordat/v1/elsewhere' }).end(),
    '307',
  ],
  ['the right body as text', (r, asked) => send(r, JSON.stringify(rightBody(asked)), 200, 'text/plain'), 'text/plain'],
  ['the right body without a type', (r, asked) => void r.end(JSON.stringify(rightBody(asked))), 'no content type'],
  ['a login page', (r) => send(r, '<html>please log in</html>', 200, 'text/html'), 'text/html'],
  ['no body', (r) => send(r, ''), 'not JSON'],
  ['what is not JSON', (r) => send(r, 'OK'), 'not JSON'],
  ['null', (r) => send(r, 'null'), 'without'],
  ['a word that means nothing', (r, asked) => send(r, { ...rightBody(asked), vote: 'yes', outcome: 'ok' }), 'without'],
  ['no word', (r, { question: { txid, gid } }) => send(r, { txid, gid, branch }), 'without'],
  ['another branch', (r, asked) => send(r, { ...rightBody(asked), branch: 4 }), 'it answered for'],
  ['another transaction', (r, asked) => send(r, { ...rightBody(asked), txid: newTxid() }), 'it answered for'],
  [
    'another gid',
    (r, asked) => send(r, { ...rightBody(asked), gid: makeGid(clusterId, newTxid(), branch) }),
    'it answered for',
  ],
  [
    'too long an answer',
    (r, asked) => send(r, { ...rightBody(asked), pad: 'x'.repeat(20_000) }),
    'longer than 16384 bytes',
  ],
  [
    'a compressed answer',
    (r, asked) =>
      void r
        .writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
        .end(JSON.stringify(rightBody(asked))),
    'not application/json',
  ],
  [
    'an answer that breaks off',
    (r, asked) => {
      r.writeHead(200, { 'content-type': 'application/json', 'content-length': 10_000 })
      r.write(JSON.stringify(rightBody(asked)), () => r.destroy())
    },
    'broke off',
  ],
  ['a connection that is cut', (r) => void r.destroy(), 'can’t be reached'],
  ['what is not HTTP', (r) => void r.socket?.end('SMTP 220 hello\r\n\r\n'), 'can’t be reached'],
  [
    'a switch to another protocol',
    (r) => void r.socket?.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
    'without an answer',
  ],
  ['silence', () => {}, 'did not answer in full within 1000 ms'],
  [
    'a head and then silence',
    (r) => void r.writeHead(200, { 'content-type': 'application/json' }).write('{'),
    'did not answer in full',
  ],
]

test.each(NOT_ANSWERS)('%s is no vote, and PREPARE is sent again', async (_, answer, said) => {
  await startCoordinator()
  service.script.push(answer, answer)
  expect(await commit()).toMatchObject(committed)
  // On a busy machine a right answer may come too late as well.
  expect(service.count('/v1/prepare')).toBeGreaterThanOrEqual(3)
  expect(service.count('/v1/elsewhere')).toBe(0)
  expect(warnings.join('\n')).toContain(said)
})

test.each(NOT_ANSWERS)('%s is no acknowledgement, and the commit is sent again', async (_, answer, said) => {
  await startCoordinator()
  service.script.push(right, answer, answer)
  expect(await commit()).toMatchObject(committed)
  expect(finished()).toBe(false)
  await expect.poll(finished, { timeout: 5_000 }).toBe(true)
  expect(service.count('/v1/commit')).toBeGreaterThanOrEqual(3)
  expect(service.count('/v1/elsewhere')).toBe(0)
  expect(server.coordinator.status().heuristicCount).toBe(0)
  expect(warnings.join('\n')).toContain(said)
})

test('a service that never answers PREPARE rightly aborts at the deadline, and hears so', async () => {
  await startCoordinator()
  const wrong: Answerer = (response) => send(response, 'OK')
  service.script.push(...Array<Answerer>(4).fill(wrong))
  const reply = await commit(150)
  expect(reply).toMatchObject({ outcome: { kind: 'aborted', reason: 'deadline', participant: 'payments' } })
  service.script.length = 0
  await expect.poll(finished, { timeout: 5_000 }).toBe(true)
  expect(service.asked.at(-1)?.path).toBe('/v1/abort')
})

test('"committed" does not acknowledge an abort, nor "aborted" a commit', async () => {
  await startCoordinator()
  const swapped: Answerer = (response, asked) => send(response, { ...rightBody(asked), outcome: 'aborted' })
  service.script.push(right, swapped)
  await commit()
  await expect.poll(finished, { timeout: 5_000 }).toBe(true)
  expect(service.count('/v1/commit')).toBe(2)
  service.script.push(
    (response, asked) => send(response, { ...rightBody(asked), vote: 'abort' }),
    (response, asked) => send(response, { ...rightBody(asked), outcome: 'committed' }),
  )
  expect(await commit()).toMatchObject({ outcome: { kind: 'aborted', reason: 'votedAbort', participant: 'payments' } })
  await expect.poll(finished, { timeout: 5_000 }).toBe(true)
  expect(service.count('/v1/abort')).toBe(2)
})

test('a reader is told nothing more', async () => {
  await startCoordinator()
  service.script.push((response, asked) => send(response, { ...rightBody(asked), vote: 'readOnly' }))
  expect(await commit()).toMatchObject(committed)
  await sleep(systemClock, 200)
  expect(service.asked.map(({ path }) => path)).toEqual(['/v1/prepare'])
})

test('a branch that ended otherwise is recorded for operators, and not asked about again', async () => {
  await startCoordinator()
  service.script.push(right, (response, { question: { txid, gid } }) =>
    send(response, { txid, gid, branch, code: 'BRANCH_ENDED_OTHERWISE', outcome: 'aborted' }, 409),
  )
  const txid = newTxid()
  await commit(20_000, txid)
  await expect.poll(finished, { timeout: 5_000 }).toBe(true)
  expect(service.count('/v1/commit')).toBe(1)
  await expect.poll(() => server.coordinator.status().heuristicCount).toBe(1)
  expect(server.coordinator.transaction(txid)).toMatchObject({ outcome: { kind: 'committed' } })
})

test('a contradiction about another branch counts for nothing', async () => {
  await startCoordinator()
  service.script.push(right, (response, { question: { gid } }) =>
    send(response, { txid: newTxid(), gid, branch, code: 'BRANCH_ENDED_OTHERWISE', outcome: 'aborted' }, 409),
  )
  await commit()
  await expect.poll(finished, { timeout: 5_000 }).toBe(true)
  expect([service.count('/v1/commit'), server.coordinator.status().heuristicCount]).toEqual([2, 0])
})

test('branches that a dead application left behind are found by the list and aborted; those that may still live are not touched', async () => {
  await startCoordinator()
  const [dead, living, voted] = [newTxid(), newTxid(), newTxid()]
  service.branches = [listed(dead, 'joined', 0), listed(living, 'joined', 5_000), listed(voted, 'prepared', 0)]
  await expect.poll(() => service.count('/v1/abort'), { timeout: 5_000 }).toBeGreaterThanOrEqual(2)
  expect(new Set(service.asked.map(({ question }) => question.txid))).toEqual(new Set([dead, voted]))
  // P5: nobody can commit it any more.
  expect(await commit(1_000, dead)).toMatchObject({ outcome: { kind: 'aborted', reason: 'presumed' } })
})

test.each([
  ['for another service', (txid: Txid) => ({ participant: 'mail', branches: [listed(txid, 'joined', 0)] })],
  [
    'of another cluster',
    (txid: Txid) => ({
      participant: 'payments',
      branches: [{ ...listed(txid, 'joined', 0), gid: makeGid(parseClusterId('other'), txid, branch) }],
    }),
  ],
  [
    'that contradicts itself',
    (txid: Txid) => ({ participant: 'payments', branches: [{ ...listed(txid, 'joined', 0), txid: newTxid() }] }),
  ],
  [
    'with a wrong shape',
    (txid: Txid) => ({ participant: 'payments', branches: [{ ...listed(txid, 'joined', 0), dueInMs: 'now' }] }),
  ],
])('a list %s is not acted upon, and said so', async (_, list) => {
  const body = list(newTxid())
  service.list = (response) => send(response, body)
  await startCoordinator()
  const error = () => server.status().resources.find(({ name }) => name === 'payments')?.error
  await expect.poll(error, { timeout: 5_000 }).toContain('service "payments" is not available: it')
  await sleep(systemClock, 300)
  expect(service.asked).toEqual([])
})

test('with two instances PREPARE goes to both, and the one that holds the branch hears the decision', async () => {
  const other = await ScriptedService.start()
  const unknown: Answerer = (response) => send(response, { code: 'BRANCH_UNKNOWN', message: 'not here' }, 404)
  other.script.push(...Array<Answerer>(20).fill(unknown))
  await startCoordinator({}, [other.url, service.url])
  expect(await commit()).toMatchObject(committed)
  await expect.poll(finished, { timeout: 5_000 }).toBe(true)
  expect([service.count('/v1/commit'), other.count('/v1/commit')]).toEqual([1, 0])
  expect(server.status().participants).toEqual([{ name: 'payments', instances: 2 }])
  other.close()
})

test('an instance at a URL and one that connects by itself: the one that holds the branch votes and hears the decision', async () => {
  const unknown: Answerer = (response) => send(response, { code: 'BRANCH_UNKNOWN', message: 'not here' }, 404)
  service.script.push(...Array<Answerer>(20).fill(unknown))
  await startCoordinator()
  const hello = {
    kind: 'hello',
    protocolMajor: PROTOCOL_MAJOR,
    protocolMinor: PROTOCOL_MINOR,
    role: 'participant',
    clusterId,
    node: undefined,
    name: 'payments',
  } as const
  const connection = await dial({ network, host: '10.0.0.1', port: 7400, hello, clock: systemClock })
  const heard: string[] = []
  connection.onMessage = (message) => {
    heard.push(message.kind)
    if (message.kind === 'prepare') {
      connection.send({ kind: 'vote', txid: message.txid, branch, vote: 'commit', evidence: undefined })
    }
    if (message.kind === 'decision') connection.send({ kind: 'ack', txid: message.txid, branches: [branch] })
  }
  await expect.poll(() => server.status().participants).toEqual([{ name: 'payments', instances: 2 }])
  expect(await commit()).toMatchObject(committed)
  await expect.poll(finished, { timeout: 5_000 }).toBe(true)
  expect([heard.includes('decision'), service.count('/v1/commit')]).toEqual([true, 0])
  connection.close('the test is over')
})

test('calls share connections, and no more than the configured number is under way', async () => {
  await startCoordinator({ concurrency: 4 })
  const replies = await Promise.all(Array.from({ length: 100 }, () => commit()))
  for (const reply of replies) expect(reply).toMatchObject(committed)
  await expect.poll(finished, { timeout: 5_000 }).toBe(true)
  // Four PREPAREs, four decisions, and the list.
  expect(service.connections).toBeLessThanOrEqual(9)
  expect(service.count('/v1/prepare')).toBe(100)
})

test('a service that closes connections when they are used again is asked at once on another one', async () => {
  const used = new WeakSet<object>()
  const once: Answerer = (response, asked) => {
    const { socket } = response
    if (socket === null || used.has(socket)) return void response.destroy()
    used.add(socket)
    right(response, asked)
  }
  service.script.push(...Array<Answerer>(50).fill(once))
  // Nothing but the votes and decisions may use the connections.
  service.list = (response) => void response.writeHead(503, { connection: 'close' }).end()
  await startCoordinator()
  for (let i = 0; i < 5; i++) expect(await commit()).toMatchObject(committed)
  await expect.poll(finished, { timeout: 5_000 }).toBe(true)
  // Without the second connections there were five PREPAREs and five decisions.
  expect(service.asked.length).toBeGreaterThan(10)
  expect(warnings.filter((message) => message.includes('payments at'))).toEqual([])
})

test('each call is signed with the secret, or carries the token', async () => {
  const secret = 'not a very good secret'
  await startCoordinator({ secret })
  await commit()
  const [first] = service.asked
  const request = { method: 'POST', target: '/v1/prepare', body: JSON.stringify(first?.question) }
  const header = (name: string) => first?.headers[name] as string
  const seconds = Date.now() / 1_000
  expect(checkCredentials({ secret }, seconds, request, header)).toBeUndefined()
  expect(checkCredentials({ secret: `${secret}!` }, seconds, request, header)).toBe('the signature is wrong')
  const changed = { ...request, target: '/v1/commit' }
  expect(checkCredentials({ secret }, seconds, changed, header)).toBe('the signature is wrong')
  expect(checkCredentials({ secret }, seconds + 400, request, header)).toMatch(/^the signature is \d+ s off/)
  expect(checkCredentials({ secret }, seconds, request, () => undefined)).toMatch(/missing/)
  await server.stop()
  const token = 'a-token-of-some-length'
  await startCoordinator({ token })
  await commit()
  const { headers } = service.asked.at(-1)!
  expect(headers.authorization).toBe(`Bearer ${token}`)
  expect(checkCredentials({ token }, 0, request, (name) => headers[name] as string)).toBeUndefined()
  expect(checkCredentials({ token: 'another' }, 0, request, (name) => headers[name] as string)).toMatch(/token/)
})

const pem = (name: string): string => fileURLToPath(new URL(`../../transport/fixtures/${name}.pem`, import.meta.url))

test('over TLS the service must have a certificate of the configured authority, and is believed nothing without', async () => {
  const tls = { key: readFileSync(pem('node-key')), cert: readFileSync(pem('node')) }
  const secure = await ScriptedService.start(tls)
  onTestFinished(() => secure.close())
  await startCoordinator({ ca: pem('other-authority') }, secure.url)
  expect(await commit(300)).toMatchObject({ outcome: { kind: 'aborted', reason: 'deadline' } })
  expect(warnings.join()).toMatch(/can’t be reached: .*(certificate|signature)/)
  expect(secure.asked).toEqual([])
  await server.stop()
  await startCoordinator({ ca: pem('authority') }, secure.url)
  expect(await commit()).toMatchObject(committed)
  await expect.poll(finished, { timeout: 5_000 }).toBe(true)
})

test('an authority that can’t be read, or is none, is a mistake of the configuration', async () => {
  for (const ca of ['/nowhere.pem', fileURLToPath(import.meta.url)]) {
    const start = startCoordinator({ ca }, 'https://127.0.0.1:1')
    await expect(start).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('participants[0].ca') as string,
    })
  }
  await startCoordinator()
})
