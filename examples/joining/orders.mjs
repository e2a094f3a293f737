// A service that calls another one: its own row and what stock does are one thing, and both are its caller's.
// COORDINATORS=… CLUSTER=trips DATABASE=postgres://… STOCK=http://127.0.0.1:8081 PORT=8082 node orders.mjs
import { createServer } from 'node:http'
import { json } from 'node:stream/consumers'
import { joining } from 'concordat/joining'
import { postgres } from 'concordat/postgres'
import pg from 'pg'

const { COORDINATORS, CLUSTER, DATABASE, STOCK, PORT } = process.env
const pool = new pg.Pool({ connectionString: DATABASE })
pool.on('error', (error) => console.error(error.message))
const orders = postgres(pool, { name: 'orders' })
const joins = await joining({ coordinators: COORDINATORS, clusterId: CLUSTER, resources: [orders] })

const server = createServer(
  joins.node(async (request, response) => {
    try {
      const tx = joins.transaction(request)
      if (tx === undefined) throw new Error('orders are only taken inside a transaction')
      const { who, item, count } = await json(request)
      const db = await tx.enlist(orders)
      await db.query('insert into orders (who, item, count) values ($1, $2, $3)', [who, item, count])
      const answer = await tx.fetch(STOCK, { method: 'POST', body: JSON.stringify({ item, count }) })
      if (!answer.ok) throw new Error(await answer.text())
      response.end('ordered')
    } catch (error) {
      response.writeHead(409).end(error.message)
    }
  }),
)
server.listen(Number(PORT), '127.0.0.1', () => console.log(`orders listens on ${server.address().port}`))

process.on('SIGTERM', async () => {
  server.close()
  await joins.close()
  await pool.end()
})
