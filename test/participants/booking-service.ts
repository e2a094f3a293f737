import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { BRANCH_HEADER, ConcordatError, participant } from '../../src/participant/index.ts'

/** What a test tells an instance. */
export interface ServiceOrders {
  readonly name: string
  readonly instance: string
  readonly coordinators: readonly string[]
  readonly clusterId: string
  readonly journal: string
  /** What all instances share: `aside` and `booked` hold a file for each branch, `calls` a line for each handler's call. */
  readonly store: string
  readonly prepareMs?: number
  /** Where it kills itself: amid PREPARE, so long after its vote, or at the first `commit`. */
  readonly die?: 'inPrepare' | 'afterVote' | 'inCommit' | undefined
}

const orders = JSON.parse(process.argv[2] ?? '') as ServiceOrders
const { name, instance, coordinators, clusterId, journal, store, die } = orders

const aside = (gid: string): string => join(store, 'aside', gid)
const booked = (gid: string): string => join(store, 'booked', gid)

function noteCall(handler: string, gid: string): void {
  appendFileSync(join(store, 'calls'), `${instance} ${handler} ${gid}\n`)
}

/** Nothing is flushed, no handler runs. */
function kill(): Promise<never> {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => {})
}

function unlessMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

const taking = await participant({
  name,
  coordinators,
  clusterId,
  journal,
  async prepare({ gid }) {
    noteCall('prepare', gid)
    if (orders.prepareMs !== undefined) await pause(orders.prepareMs)
    if (die === 'inPrepare') await kill()
    const seat = await readFile(aside(gid), 'utf8')
    if (seat === 'taken') throw new Error('the seat is taken')
    // The vote is on disk and on its way long before.
    if (die === 'afterVote') setTimeout(kill, 200)
    return seat === 'look' ? 'readOnly' : undefined
  },
  async commit({ gid }) {
    noteCall('commit', gid)
    if (die === 'inCommit') await kill()
    await rename(aside(gid), booked(gid)).catch(unlessMissing)
  },
  async abort({ gid }) {
    noteCall('abort', gid)
    await rm(aside(gid), { force: true })
  },
})

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request.setEncoding('utf8')) body += chunk
  return body
}

async function setAside(request: IncomingMessage): Promise<void> {
  const body = await bodyOf(request)
  await taking.work(String(request.headers[BRANCH_HEADER]), async ({ gid }) => {
    // Beside the folder: what a kill leaves of it was never set aside.
    const unfinished = join(store, `${gid}.${instance}.new`)
    const file = await open(unfinished, 'w')
    await file.writeFile(body)
    await file.sync()
    await file.close()
    await rename(unfinished, aside(gid))
  })
}

const server = createServer((request, response) => {
  if (request.url === '/open') {
    response.end(JSON.stringify(taking.open()))
    return
  }
  setAside(request).then(
    () => response.end(),
    (error: unknown) => {
      response.statusCode = error instanceof ConcordatError ? 409 : 500
      response.end(String(error))
    },
  )
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
process.on('SIGTERM', () => {
  server.close()
  void taking.close().then(() => process.exit(0))
})
console.log((server.address() as AddressInfo).port)
