import { postgres } from '../../../resources/index.ts'
import { type ContractWorld, resourceContract } from '../../../resources/resource.contract.ts'
import { Loopback } from '../loopback.support.ts'
import { type SimPgClient, SimPgPool, SimPostgres } from './index.ts'

async function pgWorld(): Promise<ContractWorld<SimPgClient>> {
  const net = new Loopback()
  const server = new SimPostgres({ name: 'flights' })
  let process = net.host()
  server.serve(process)
  const application = net.host()
  const admin = new SimPgPool(application, { database: 'flights', max: 2 })
  const pool = new SimPgPool(application, { database: 'flights', max: 5 })
  const resolverPool = new SimPgPool(net.host(), { database: 'flights', max: 2 })
  const ask = async (text: string, values: readonly unknown[] = []) => {
    const client = await admin.connect()
    try {
      return await client.query(text, values)
    } finally {
      client.release()
    }
  }
  await ask('CREATE TABLE t (k text)')
  return {
    resource: postgres(pool, { name: 'test' }),
    resolver: postgres(resolverPool, { name: 'resolver' }).inDoubt,
    write: (session, key) => session.query('INSERT INTO t VALUES ($1)', [key]),
    fail: (session) => session.query('SELECT nonsense'),
    send: (session, sql) => session.query(sql),
    slow: 'SELECT pg_sleep(30)',
    count: async (key) => Number((await ask('SELECT count(*)::int AS n FROM t WHERE k = $1', [key])).rows[0]!.n),
    crash: async () => {
      process.kill()
      server.crash()
      process = net.host()
      server.serve(process)
    },
    hasEvidence: true,
    detaches: true,
    close: async () => {
      await pool.end()
      await resolverPool.end()
      await admin.end()
    },
  }
}

resourceContract('postgres over a simulated pg', pgWorld)
