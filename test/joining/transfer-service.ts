import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import pg from 'pg'
import { joining } from '../../src/participant/joining/index.ts'
import { postgres } from '../../src/resources/index.ts'

/** What the crash test tells the service that keeps accounts. */
export interface ServiceOrders {
  readonly coordinators: readonly string[]
  readonly cluster: string
  readonly url: string
  readonly port: number
}

const { coordinators, cluster, url, port } = JSON.parse(process.argv[2] ?? '') as ServiceOrders
const pool = new pg.Pool({ connectionString: url, max: 12 })
pool.on('error', () => {})
const far = postgres(pool, { name: 'far' })
const joins = await joining({ coordinators, clusterId: cluster, resources: [far] })
const server = createServer(
  joins.node(async (request, response) => {
    try {
      const db = await joins.transaction(request)!.enlist(far)
      await db.query('update accounts set balance = balance + 1 where id = $1', [Number(await text(request))])
      response.end()
    } catch (error) {
      response.writeHead(500).end(String(error))
    }
  }),
)
server.listen(port, '127.0.0.1', () => console.log('ready'))
