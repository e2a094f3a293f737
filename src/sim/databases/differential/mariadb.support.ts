import mysql2 from 'mysql2/promise'
import type { Prng } from '../../../base/index.ts'
import type { LocalServer } from '../../../localdb/index.ts'
import { Loopback, type LoopbackHost } from '../loopback.support.ts'
import { SimMariadb, SimMysqlPool, type SimMysqlPromiseConnection } from '../mariadb/index.ts'
import { type Outcome, type Party, SESSIONS, type Statement, type Step } from './driver.support.ts'

interface Client {
  query(text: string, values: unknown[]): Promise<readonly unknown[]>
}

/** What both clients answer, without the words of messages. */
async function outcomeOf(client: Client, { text, values }: Statement): Promise<Outcome> {
  try {
    const [result] = await client.query(text, [...values])
    const many = Array.isArray(result) && result.some((one) => Array.isArray(one) || isHeader(one))
    return (many ? (result as unknown[]) : [result]).map(wordOf).join('; ')
  } catch (error) {
    const { errno, sqlState, fatal } = error as { errno?: number; sqlState?: string; fatal?: boolean }
    return sqlState === undefined || fatal === true ? 'lost' : `${errno} ${sqlState}`
  }
}

function isHeader(one: unknown): one is { affectedRows: number } {
  return typeof (one as { affectedRows?: unknown } | undefined)?.affectedRows === 'number'
}

function wordOf(result: unknown): string {
  if (isHeader(result)) return `${result.affectedRows} rows`
  const rows = result as Record<string, unknown>[]
  return JSON.stringify(rows.map((row) => ('data' in row ? { ...row, data: String(row.data) } : row)).sort(byText))
}

function byText(a: unknown, b: unknown): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1
}

const TABLES = [
  'CREATE TABLE acc (id int PRIMARY KEY, n int)',
  'CREATE TABLE log (k varchar(20), n int)',
  'INSERT INTO acc VALUES (1, 10), (2, 20), (3, 30), (4, 40)',
]

async function stateOf(client: Client): Promise<unknown> {
  const ask = async (text: string) => outcomeOf(client, { text, values: [] })
  return [await ask('SELECT id, n FROM acc'), await ask('SELECT k, n FROM log'), await ask('XA RECOVER')]
}

/** A real server. It finds deadlocks at once, so a wait is a wait. */
export class RealMariadb implements Party {
  readonly deadlockMs = 0
  readonly #server: LocalServer
  #admin: mysql2.Connection | undefined
  readonly #sessions = new Map<string, mysql2.Connection>()

  constructor(server: LocalServer) {
    this.#server = server
  }

  async send(session: string, statement: Statement): Promise<Outcome> {
    return outcomeOf((await this.#session(session)) as unknown as Client, statement)
  }

  /** The server's list of waits is up to 100 ms old. */
  async isWaiting(session: string): Promise<boolean> {
    const id = this.#sessions.get(session)?.threadId ?? 0
    await new Promise((resolve) => setTimeout(resolve, 110))
    const rows = await this.#ask(
      `SELECT 1 FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = ${id} AND trx_state = 'LOCK WAIT'`,
    )
    return rows.length > 0
  }

  async disconnect(session: string): Promise<void> {
    const open = this.#sessions.get(session)
    if (open === undefined) return
    this.#sessions.delete(session)
    open.destroy()
    const id = open.threadId
    while ((await this.#ask(`SELECT 1 FROM information_schema.processlist WHERE id = ${id}`)).length > 0);
  }

  async crash(): Promise<void> {
    this.#sessions.clear()
    this.#admin = undefined
    await this.#server.kill()
    await this.#server.restart()
  }

  async state(): Promise<unknown> {
    return stateOf((await this.#adminSession()) as unknown as Client)
  }

  async reset(): Promise<void> {
    for (const session of SESSIONS) await this.disconnect(session)
    for (const { gtrid_length: length, data } of await this.#ask('XA RECOVER')) {
      const text = String(data)
      // 1402: it wrote nothing, and is gone by this.
      await this.#ask(`XA ROLLBACK '${text.slice(0, Number(length))}','${text.slice(Number(length))}'`).catch(() => {})
    }
    await this.#ask('DROP TABLE IF EXISTS acc, log')
    for (const text of TABLES) await this.#ask(text)
  }

  async close(): Promise<void> {
    for (const session of SESSIONS) await this.disconnect(session)
    await this.#admin?.end()
  }

  async #ask(text: string): Promise<Record<string, unknown>[]> {
    const [rows] = await (await this.#adminSession()).query(text)
    return rows as unknown as Record<string, unknown>[]
  }

  async #adminSession(): Promise<mysql2.Connection> {
    this.#admin ??= await this.#connect()
    return this.#admin
  }

  async #session(name: string): Promise<mysql2.Connection> {
    const known = this.#sessions.get(name)
    if (known !== undefined) return known
    const made = await this.#connect()
    this.#sessions.set(name, made)
    return made
  }

  async #connect(): Promise<mysql2.Connection> {
    const made = await mysql2.createConnection({ uri: this.#server.url(), multipleStatements: true })
    made.on('error', () => {})
    return made
  }
}

/** The simulated one. */
export class PretendedMariadb implements Party {
  readonly deadlockMs = 0
  readonly #net = new Loopback()
  #server!: SimMariadb
  #process!: LoopbackHost
  #pool!: SimMysqlPool
  readonly #sessions = new Map<string, SimMysqlPromiseConnection>()
  readonly #waiting = new Set<string>()

  async send(session: string, statement: Statement): Promise<Outcome> {
    const client = await this.#session(session)
    this.#waiting.add(session)
    const outcome = await outcomeOf(client as unknown as Client, statement)
    this.#waiting.delete(session)
    return outcome
  }

  /** Without an answer after a few turns it waits for a lock: nothing else takes time here. */
  async isWaiting(session: string): Promise<boolean> {
    await turns()
    return this.#waiting.has(session)
  }

  async disconnect(session: string): Promise<void> {
    this.#sessions.get(session)?.connection.destroy()
    this.#sessions.delete(session)
    await turns()
  }

  async crash(): Promise<void> {
    this.#sessions.clear()
    this.#process.kill()
    this.#server.crash()
    this.#start()
    await turns()
  }

  async state(): Promise<unknown> {
    const client = await this.#pool.promise().getConnection()
    const state = await stateOf(client as unknown as Client)
    client.release()
    return state
  }

  async reset(): Promise<void> {
    this.#server = new SimMariadb({ name: 'sim' })
    this.#sessions.clear()
    this.#start()
    const client = await this.#pool.promise().getConnection()
    for (const text of TABLES) await client.query(text)
    client.release()
  }

  #start(): void {
    this.#process = this.#net.host()
    this.#server.serve(this.#process)
    this.#pool = new SimMysqlPool(this.#net.host(), { database: 'sim', multipleStatements: true })
  }

  async #session(name: string): Promise<SimMysqlPromiseConnection> {
    const known = this.#sessions.get(name)
    if (known !== undefined) return known
    const client = await this.#pool.promise().getConnection()
    this.#sessions.set(name, client)
    return client
  }
}

async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate)
}

/** The statements that our adapter and our workloads send, in every order. */
export function nextStep(random: Prng): Step {
  if (random.chance(0.01)) return { kind: 'crash' }
  const session = random.pick(SESSIONS)
  if (random.chance(0.04)) return { kind: 'disconnect', session }
  return { kind: 'send', session, statement: nextStatement(random, session) }
}

function nextStatement(random: Prng, session: string): Statement {
  const id = random.between(1, 4)
  const n = random.between(-9, 9)
  const branch = random.chance(0.75) ? SESSIONS.indexOf(session) : random.below(SESSIONS.length)
  const xid = `'x${branch}','0',1`
  const plain = (text: string): Statement => ({ text, values: [] })
  const makers: readonly (() => Statement)[] = [
    () => plain(`XA START ${xid}`),
    () => plain(`XA START ${xid}`),
    () => plain(`XA START ${xid}`),
    () => plain(`XA END ${xid}`),
    () => plain(`XA END ${xid}`),
    () => plain(`XA END ${xid}`),
    () => plain(`XA PREPARE ${xid}`),
    () => plain(`XA PREPARE ${xid}`),
    () => plain(`XA COMMIT ${xid}`),
    () => plain(`XA COMMIT ${xid}`),
    () => plain(`XA ROLLBACK ${xid}`),
    () => plain(`XA ROLLBACK ${xid}`),
    () => plain(`XA COMMIT ${xid} ONE PHASE`),
    () => plain(`XA END ${xid}; XA PREPARE ${xid}`),
    () => plain(`XA END ${xid}; XA PREPARE ${xid}`),
    () => plain('XA RECOVER'),
    () => plain(random.pick(['BEGIN', 'START TRANSACTION', 'COMMIT', 'ROLLBACK'])),
    () => plain(random.pick(['SAVEPOINT s', 'ROLLBACK TO SAVEPOINT s', 'RELEASE SAVEPOINT s'])),
    () => ({ text: 'UPDATE acc SET n = n + ? WHERE id = ?', values: [n, id] }),
    () => ({ text: 'UPDATE acc SET n = n + ? WHERE id = ?', values: [n, id] }),
    () => plain(`UPDATE acc SET n = ${n} WHERE id = ${id}`),
    () => ({ text: 'SELECT n FROM acc WHERE id = ? FOR UPDATE', values: [id] }),
    () => plain('SELECT id, n FROM acc'),
    () => plain(`SELECT n FROM acc WHERE id = ${id}`),
    () => plain('SELECT count(*) AS c, sum(n) AS s FROM acc'),
    () => ({ text: 'INSERT INTO log VALUES (?, ?)', values: [`k${id}`, n] }),
    () => plain(`INSERT INTO log VALUES ('m', 1); SELECT nonsense; INSERT INTO log VALUES ('m', 2)`),
    () => plain(random.pick(['SELECT nonsense', 'SELEC 1', 'INSERT INTO nope VALUES (1)', 'SELECT 1'])),
  ]
  return random.pick(makers)()
}
