import { createServer, type IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { BRANCH_HEADER, httpParticipant } from '../../src/participant/http/index.ts'

/** What a test tells a bank that is a service over HTTP. */
export interface VaultOrders {
  readonly clusterId: string
  readonly port: number
  readonly secret: string
  readonly journal: string
  /** A PostgreSQL with the tables `accounts` and `booked`. */
  readonly database: string
}

/** How long a call waits for accounts that others hold, milliseconds. */
const PATIENCE_MS = 1_500

const { clusterId, port, secret, journal, database } = JSON.parse(process.argv[2] ?? '') as VaultOrders
const pool = new pg.Pool({ connectionString: database, max: 16 })
pool.on('error', () => {})

const vault = await httpParticipant({
  name: 'vault',
  clusterId,
  journal,
  credentials: { secret },
  async prepare({ gid }) {
    const { rows } = await pool.query<{ changes: boolean }>(
      'select bool_or(change <> 0) as changes from accounts where holder = $1 having count(*) > 0',
      [gid],
    )
    if (rows.length === 0) throw new Error('nothing is held')
    if (rows[0]?.changes) return undefined
    // Everything was read by everybody, so a reader may let go of its accounts with its vote.
    await pool.query('update accounts set holder = null where holder = $1', [gid])
    return 'readOnly'
  },
  async commit({ gid }) {
    await pool.query(
      `with done as (update accounts set balance = balance + change, change = 0, holder = null where holder = $1 returning id)
       insert into booked select $1 from done on conflict do nothing`,
      [gid],
    )
  },
  async abort({ gid }) {
    await pool.query('update accounts set change = 0, holder = null where holder = $1', [gid])
  },
})

/** Holds accounts for a branch until its end; one that is held by another is waited for. @throws Error when it takes too long */
async function hold(gid: string, condition: string, change: number, wanted: number): Promise<void> {
  const untilMs = performance.now() + PATIENCE_MS
  let held = 0
  while (held < wanted) {
    const sql = `update accounts set holder = $1, change = $2 where holder is null and balance + $2 >= 0 and ${condition}`
    held += (await pool.query(sql, [gid, change])).rowCount ?? 0
    if (held === wanted) return
    if (performance.now() > untilMs) throw new Error('the accounts are held by others, or there is not enough money')
    await pause(10)
  }
}

async function work(request: IncomingMessage): Promise<object> {
  const { account, amount } = (await json(request)) as { readonly account?: number; readonly amount: number }
  return vault.work(String(request.headers[BRANCH_HEADER]), async ({ gid }) => {
    if (account !== undefined) {
      await hold(gid, `id = ${Number(account)}`, amount, 1)
      return { done: 'held' }
    }
    const { rows } = await pool.query<{ count: string }>('select count(*) from accounts')
    await hold(gid, 'true', 0, Number(rows[0]?.count))
    const found = await pool.query<{ sum: string }>('select sum(balance) from accounts')
    return { sum: Number(found.rows[0]?.sum) }
  })
}

const questions = vault.node()
const server = createServer((request, response) => {
  if (request.url?.startsWith('/concordat/')) return void questions(request, response)
  work(request).then(
    (answer) => response.end(JSON.stringify(answer)),
    (error: Error) => response.writeHead(409).end(error.message),
  )
})
server.listen(port, '127.0.0.1', () => console.log(port))
