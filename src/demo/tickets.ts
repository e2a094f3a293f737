import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { httpParticipant } from '../participant/http/index.ts'
import { CLUSTER, openPostgres } from './companies.ts'

/**
 * The tickets company of the demo: a service over HTTP with a database of its own, and a process of its own. What a service's
 * author writes. It is told by its environment where its database, its journal and its port are.
 */
const { TICKETS_DATABASE = '', TICKETS_JOURNAL = '', TICKETS_PORT = '', TICKETS_SECRET = '' } = process.env
// Without the stage there is nothing to do. It may be gone already: loading all this takes a moment.
process.on('disconnect', () => process.exit(1))
if (process.connected !== true) process.exit(1)
process.on('SIGINT', () => {})

const pool = openPostgres(TICKETS_DATABASE, 16)

const tickets = await httpParticipant({
  name: 'tickets',
  clusterId: CLUSTER,
  journal: TICKETS_JOURNAL,
  credentials: { secret: TICKETS_SECRET },
  async prepare({ gid }) {
    const found = await pool.query("select from tickets where gid = $1 and state = 'aside'", [gid])
    if (found.rowCount === 0) throw new Error('no ticket was set aside')
  },
  async commit({ gid }) {
    await pool.query("update tickets set state = 'issued' where gid = $1 and state = 'aside'", [gid])
  },
  async abort({ gid }) {
    await pool.query("delete from tickets where gid = $1 and state = 'aside'", [gid])
  },
})

/** Sets a ticket aside until the transaction is decided. */
async function setAside(request: IncomingMessage, booking: string): Promise<void> {
  await tickets.work(String(request.headers['concordat-tx'] ?? ''), async ({ gid }) => {
    await pool.query("insert into tickets values ($1, $2, 'aside') on conflict do nothing", [gid, booking])
  })
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url = '/' } = request
  const booking = /^\/tickets\/([\w-]+)$/.exec(url)?.[1]
  if (method === 'PUT' && booking !== undefined) {
    await setAside(request, booking)
    response.end('set aside')
  } else if (method === 'GET' && url === '/in-doubt') {
    // For the stage: what has a vote and no decision.
    const inDoubt = tickets.open().filter(({ state }) => state === 'inDoubt' || state === 'ending')
    response.end(JSON.stringify(inDoubt.map(({ gid }) => gid)))
  } else {
    response.writeHead(404).end()
  }
}

const questions = tickets.node()
const server = createServer((request, response) => {
  if (request.url?.startsWith('/concordat/')) return void questions(request, response)
  answer(request, response).catch((error: Error) => response.writeHead(409).end(error.message))
})
server.listen(Number(TICKETS_PORT), '127.0.0.1')

// Without its journal it can promise nothing: the stage says so and ends.
tickets.failed.then((error) => {
  console.error(error)
  process.exit(1)
})
process.on('SIGTERM', async () => {
  server.close()
  await tickets.close()
  process.exit(0)
})
