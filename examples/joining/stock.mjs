// A service with a database of its own. Called inside a transaction, it takes part in it; called by anybody else, it has its own.
// COORDINATORS=127.0.0.1:7400,… CLUSTER=trips DATABASE=postgres://… PORT=8081 node stock.mjs
import { createServer } from 'node:http'
import { json } from 'node:stream/consumers'
import { joining } from 'concordat/joining'
import { postgres } from 'concordat/postgres'
import pg from 'pg'

const { COORDINATORS, CLUSTER, DATABASE, PORT } = process.env
const pool = new pg.Pool({ connectionString: DATABASE })
pool.on('error', (error) => console.error(error.message))
const stock = postgres(pool, { name: 'stock' })
const joins = await joining({ coordinators: COORDINATORS, clusterId: CLUSTER, resources: [stock] })

const server = createServer(
  joins.node(async (request, response) => {
    try {
      const tx = joins.transaction(request)
      if (tx === undefined) throw new Error('stock is only taken inside a transaction')
      const { item, count } = await json(request)
      const db = await tx.enlist(stock)
      const sql = 'update items set free = free - $2 where id = $1 and free >= $2'
      const { rowCount } = await db.query(sql, [item, count])
      if (rowCount === 0) throw new Error(`there is not enough of ${item}`)
      response.end('taken')
    } catch (error) {
      // From status 400 on, what this call did is rolled back.
      response.writeHead(409).end(error.message)
    }
  }),
)
server.listen(Number(PORT), '127.0.0.1', () => console.log(`stock listens on ${server.address().port}`))

process.on('SIGTERM', async () => {
  server.close()
  await joins.close()
  await pool.end()
})
