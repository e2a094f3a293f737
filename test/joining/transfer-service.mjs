// Keeps the far accounts of the crash test. It runs what was built: a start through a compiler would be most of its short life.
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { joining } from 'concordat/joining'
import { postgres } from 'concordat/postgres'
import pg from 'pg'

const { coordinators, cluster, url, port } = JSON.parse(process.argv[2])
const pool = new pg.Pool({ connectionString: url, max: 12 })
pool.on('error', () => {})
const far = postgres(pool, { name: 'far' })
const joins = await joining({ coordinators, clusterId: cluster, resources: [far] })
const server = createServer(
  joins.node(async (request, response) => {
    try {
      const db = await joins.transaction(request).enlist(far)
      await db.query('update accounts set balance = balance + 1 where id = $1', [Number(await text(request))])
      response.end()
    } catch (error) {
      response.writeHead(500).end(String(error))
    }
  }),
)
server.listen(port, '127.0.0.1', () => console.log('ready'))
