// The same service with its promises in its own database. Start as many as you like; none needs a directory:
// COORDINATORS=… CLUSTER=trips DATABASE=postgres://… PORT=8081 node payments-postgres.mjs
import { createServer } from 'node:http'
import { json } from 'node:stream/consumers'
import { participant, postgresJournal } from 'concordat/participant'
import pg from 'pg'

const { COORDINATORS, CLUSTER, DATABASE, PORT } = process.env
const pool = new pg.Pool({ connectionString: DATABASE })
pool.on('error', (error) => console.error(error.message))
await pool.query(`
  create table if not exists accounts (id text primary key, balance integer not null);
  create table if not exists payments (gid text primary key, account text not null, amount integer not null, state text not null);
`)

const payments = await participant({
  name: 'payments',
  coordinators: COORDINATORS,
  clusterId: CLUSTER,
  journal: postgresJournal(pool, { create: true }),
  async prepare({ gid }, sql) {
    const taken = await sql.query(
      `update accounts set balance = balance - amount from payments
       where gid = $1 and id = account and balance >= amount`,
      [gid],
    )
    if (taken.rowCount === 0) throw new Error('there is not enough money')
    await sql.query("update payments set state = 'held' where gid = $1", [gid])
  },
  async commit({ gid }, sql) {
    await sql.query("update payments set state = 'booked' where gid = $1", [gid])
  },
  async abort({ gid }, sql) {
    await sql.query(
      `with dropped as (delete from payments where gid = $1 returning account, amount, state)
       update accounts set balance = balance + amount from dropped where id = account and state = 'held'`,
      [gid],
    )
  },
})

const server = createServer(async (request, response) => {
  try {
    const { account, amount } = await json(request)
    await payments.work(request.headers['concordat-tx'] ?? '', async ({ gid }, sql) => {
      await sql.query("insert into payments values ($1, $2, $3, 'asked')", [gid, account, amount])
    })
    response.end('noted')
  } catch (error) {
    response.writeHead(409).end(error.message)
  }
})
server.listen(Number(PORT), '127.0.0.1', () => console.log(`payments listens on ${server.address().port}`))

process.on('SIGTERM', async () => {
  server.close()
  await payments.close()
  await pool.end()
})
