import { postgres } from '../../../resources/index.ts'
import { type ContractWorld, resourceContract } from '../../../resources/resource.contract.ts'
import { Loopback } from '../loopback.support.ts'
import { type SimJsReserved, SimJsSql, type SimPgClient, SimPgPool, SimPostgres } from './index.ts'

function start() {
  const net = new Loopback()
  const server = new SimPostgres({ name: 'flights' })
  let process = net.host()
  server.serve(process)
  const application = net.host()
  const admin = new SimPgPool(application, { database: 'flights', max: 2 })
  const resolverPool = new SimPgPool(net.host(), { database: 'flights', max: 2 })
  const ask = async (text: string, values: readonly unknown[] = []) => {
    const client = await admin.connect()
    try {
      return await client.query(text, values)
    } finally {
      client.release()
    }
  }
  return {
    application,
    ask,
    resolver: postgres(resolverPool, { name: 'resolver' }).inDoubt,
    count: async (key: string) =>
      Number((await ask('SELECT count(*)::int AS n FROM t WHERE k = $1', [key])).rows[0]!.n),
    crash: async () => {
      process.kill()
      server.crash()
      process = net.host()
      server.serve(process)
    },
  }
}

// Without admission: the simulated server does not count prepared branches for whoever asks.
resourceContract('postgres over a simulated pg', async (): Promise<ContractWorld<SimPgClient>> => {
  const { application, ask, resolver, count, crash } = start()
  await ask('CREATE TABLE t (k text)')
  const pool = new SimPgPool(application, { database: 'flights', max: 5 })
  return {
    resource: postgres(pool, { name: 'test', admission: false }),
    resolver,
    write: (session, key) => session.query('INSERT INTO t VALUES ($1)', [key]),
    fail: (session) => session.query('SELECT nonsense'),
    send: (session, sql) => session.query(sql),
    slow: 'SELECT pg_sleep(30)',
    count,
    crash,
    hasEvidence: true,
    detaches: true,
    close: () => pool.end(),
  }
})

resourceContract('postgres over a simulated postgres.js', async (): Promise<ContractWorld<SimJsReserved>> => {
  const { application, ask, resolver, count, crash } = start()
  await ask('CREATE TABLE t (k text)')
  const sql = new SimJsSql(application, { database: 'flights', max: 5 })
  return {
    resource: postgres(sql, { name: 'test', admission: false }),
    resolver,
    write: async (session, key) => session`INSERT INTO t VALUES (${key})`,
    fail: async (session) => session`SELECT nonsense`,
    send: async (session, text) => session.unsafe(text),
    slow: 'SELECT pg_sleep(30)',
    count,
    crash,
    hasEvidence: true,
    detaches: true,
    close: () => sql.end(),
  }
})
