// A service that takes part in transactions. Start as many as you like, each with a journal of its own:
// COORDINATORS=… CLUSTER=trips DATABASE=postgres://… JOURNAL=./journal-1 PORT=8081 node payments.mjs
import { createServer } from 'node:http'
import { json } from 'node:stream/consumers'
import { participant } from 'concordat/participant'
import pg from 'pg'

const { COORDINATORS, CLUSTER, DATABASE, JOURNAL, PORT } = process.env
const pool = new pg.Pool({ connectionString: DATABASE })
await pool.query(`
  create table if not exists accounts (id text primary key, balance integer not null);
  create table if not exists payments (gid text primary key, account text not null, amount integer not null, state text not null);
`)

const payments = await participant({
  name: 'payments',
  coordinators: COORDINATORS,
  clusterId: CLUSTER,
  journal: JOURNAL,
  async prepare({ gid }) {
    // PostgreSQL has it on disk already, so all that is left is to see that it is there.
    const found = await pool.query("select from payments where gid = $1 and state = 'aside'", [gid])
    if (found.rowCount === 0) throw new Error('nothing was set aside')
  },
  async commit({ gid }) {
    await pool.query("update payments set state = 'booked' where gid = $1 and state = 'aside'", [gid])
  },
  async abort({ gid }) {
    // One statement, and nothing when nothing is set aside: it may be called twice, and never undoes a commit.
    await pool.query(
      `with dropped as (delete from payments where gid = $1 and state = 'aside' returning account, amount)
       update accounts set balance = balance + dropped.amount from dropped where id = dropped.account`,
      [gid],
    )
  },
})

/** Takes the money off the account and notes for which branch: both, or neither. The same call twice takes it once. */
async function setAside(gid, account, amount) {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const noted = await client.query("insert into payments values ($1, $2, $3, 'aside') on conflict do nothing", [
      gid,
      account,
      amount,
    ])
    if (noted.rowCount === 1) {
      const sql = 'update accounts set balance = balance - $2 where id = $1 and balance >= $2'
      const taken = await client.query(sql, [account, amount])
      if (taken.rowCount === 0) throw new Error('there is not enough money')
    }
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

const server = createServer(async (request, response) => {
  try {
    const { account, amount } = await json(request)
    await payments.work(request.headers['concordat-tx'] ?? '', ({ gid }) => setAside(gid, account, amount))
    response.end('set aside')
  } catch (error) {
    response.writeHead(409).end(error.message)
  }
})
server.listen(Number(PORT), '127.0.0.1', () => console.log(`payments listens on ${server.address().port}`))

// Without its journal an instance can promise nothing: let whoever watches the process start it anew.
payments.failed.then((error) => {
  console.error(error)
  process.exit(1)
})
process.on('SIGTERM', async () => {
  server.close()
  await payments.close()
  await pool.end()
})
