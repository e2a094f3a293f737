import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import pg from 'pg'
import { BRANCH_HEADER, participant, postgresJournal } from '../../src/participant/index.ts'

/** What a test tells an instance. */
export interface PurseOrders {
  readonly name: string
  readonly coordinators: readonly string[]
  readonly clusterId: string
  readonly database: string
  /** Takes money out of its purse (-1), or puts it in (1). */
  readonly sign: 1 | -1
  /** Where it kills itself: amid `prepare` or `commit`, after its statements and before the journal's row. */
  readonly die?: 'inPrepare' | 'inCommit' | undefined
}

const orders = JSON.parse(process.argv[2] ?? '') as PurseOrders
const { name, coordinators, clusterId, database, sign, die } = orders
const pool = new pg.Pool({ connectionString: database, max: 6 })
pool.on('error', () => {})

/** Nothing is flushed, no handler runs. */
function kill(): Promise<never> {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => {})
}

// None of it bears being done twice: that it is not is the journal's merit.
const purse = await participant({
  name,
  coordinators,
  clusterId,
  journal: postgresJournal(pool, { create: true, localMs: 5_000 }),
  async prepare({ gid }, sql) {
    const [entry] = (await sql.query('SELECT amount FROM entries WHERE gid = $1', [gid])).rows
    if (sign < 0) await sql.query('UPDATE purse SET money = money - $1', [entry.amount])
    await sql.query("UPDATE entries SET state = 'held' WHERE gid = $1", [gid])
    if (die === 'inPrepare') await kill()
  },
  async commit({ gid }, sql) {
    const [entry] = (await sql.query('SELECT amount FROM entries WHERE gid = $1', [gid])).rows
    if (sign > 0) await sql.query('UPDATE purse SET money = money + $1', [entry.amount])
    await sql.query("UPDATE entries SET state = 'booked' WHERE gid = $1", [gid])
    if (die === 'inCommit') await kill()
  },
  async abort({ gid }, sql) {
    const [entry] = (await sql.query('DELETE FROM entries WHERE gid = $1 RETURNING amount, state', [gid])).rows
    if (sign < 0 && entry.state === 'held') await sql.query('UPDATE purse SET money = money + $1', [entry.amount])
  },
})

async function setAside(request: IncomingMessage): Promise<void> {
  const { amount } = (await json(request)) as { readonly amount: number }
  await purse.work(String(request.headers[BRANCH_HEADER]), async ({ gid }, sql) => {
    await sql.query("INSERT INTO entries VALUES ($1, $2, 'aside')", [gid, amount])
  })
}

const server = createServer((request, response) => {
  setAside(request).then(
    () => response.end(),
    (error: unknown) => {
      response.statusCode = 409
      response.end(String(error))
    },
  )
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
console.log((server.address() as AddressInfo).port)
