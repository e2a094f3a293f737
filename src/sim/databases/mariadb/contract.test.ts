import { mysql } from '../../../resources/index.ts'
import { type ContractWorld, resourceContract } from '../../../resources/resource.contract.ts'
import { Loopback } from '../loopback.support.ts'
import { SimMariadb, type SimMysqlConnection, SimMysqlPool, type SimMysqlPromiseConnection } from './index.ts'

function start() {
  const net = new Loopback()
  const server = new SimMariadb({ name: 'hotels', lockTimeoutMs: 1_000 })
  let process = net.host()
  server.serve(process)
  const application = net.host()
  const admin = new SimMysqlPool(application, { database: 'hotels', connectionLimit: 2 }).promise()
  const ask = async (text: string, values: readonly unknown[] = []) => {
    const connection = await admin.getConnection()
    try {
      return (await connection.query(text, values))[0]
    } finally {
      connection.release()
    }
  }
  return {
    application,
    ask,
    resolverPool: () => new SimMysqlPool(net.host(), { database: 'hotels', connectionLimit: 2 }),
    count: async (key: string) => {
      const rows = (await ask('SELECT count(*) AS n FROM t WHERE k = ?', [key])) as { n: number }[]
      return rows[0]!.n
    },
    crash: async () => {
      process.kill()
      server.crash()
      process = net.host()
      server.serve(process)
    },
  }
}

async function promiseWorld(witness: boolean, many: boolean): Promise<ContractWorld<SimMysqlPromiseConnection>> {
  const { application, ask, resolverPool, count, crash } = start()
  await ask('CREATE TABLE t (k varchar(80)) ENGINE=InnoDB')
  const options = { database: 'hotels', connectionLimit: 5, multipleStatements: many }
  const pool = new SimMysqlPool(application, options).promise()
  return {
    resource: mysql(pool, { name: 'test', witness }),
    resolver: mysql(resolverPool(), { name: 'resolver', witness }).inDoubt,
    write: (session, key) => session.query('INSERT INTO t VALUES (?)', [key]),
    fail: (session) => session.query('SELECT nonsense'),
    send: (session, sql) => session.query(sql),
    slow: 'SELECT SLEEP(30)',
    count,
    crash,
    hasEvidence: witness,
    detaches: false,
    close: async () => pool.end(),
  }
}

resourceContract('mysql over simulated mysql2 promises, with a witness', () => promiseWorld(true, false))
resourceContract('mysql over simulated mysql2, with several statements in a text', () => promiseWorld(false, true))
resourceContract('mysql over simulated mysql2 callbacks', async (): Promise<ContractWorld<SimMysqlConnection>> => {
  const { application, ask, resolverPool, count, crash } = start()
  await ask('CREATE TABLE t (k varchar(80)) ENGINE=InnoDB')
  const pool = new SimMysqlPool(application, { database: 'hotels', connectionLimit: 5 })
  const query = (session: SimMysqlConnection, sql: string, values: string[] = []): Promise<unknown> =>
    new Promise((resolve, reject) => {
      session.query(sql, values, (error, result) => (error ? reject(error) : resolve(result)))
    })
  return {
    resource: mysql(pool, { name: 'test' }),
    resolver: mysql(resolverPool(), { name: 'resolver' }).inDoubt,
    write: (session, key) => query(session, 'INSERT INTO t VALUES (?)', [key]),
    fail: (session) => query(session, 'SELECT nonsense'),
    send: (session, sql) => query(session, sql),
    slow: 'SELECT SLEEP(30)',
    count,
    crash,
    hasEvidence: false,
    detaches: false,
    close: async () => pool.end(),
  }
})
