import pg from 'pg'
import type { Prng } from '../../../base/index.ts'
import type { LocalServer } from '../../../localdb/index.ts'
import { Loopback, type LoopbackHost } from '../loopback.support.ts'
import { type SimPgClient, SimPgPool, SimPostgres } from '../postgres/index.ts'
import { type Outcome, type Party, SESSIONS, type Statement, type Step } from './driver.support.ts'

/** The settings of both servers. */
export const PREPARED_MAX = 3
export const DEADLOCK_MS = 10

interface Client {
  query(text: string, values?: unknown[]): Promise<unknown>
}

interface Result {
  readonly command: string
  readonly rowCount: number | null
  readonly rows: Record<string, unknown>[]
}

/** What both clients answer, without what must differ: numbers of transactions, and the words of messages. */
async function outcomeOf(client: Client, { text, values }: Statement): Promise<Outcome> {
  try {
    const result = (await (values.length === 0 ? client.query(text) : client.query(text, [...values]))) as
      | Result
      | Result[]
    return (Array.isArray(result) ? result : [result])
      .map(({ command, rowCount, rows }) => `${command} ${rowCount ?? ''} ${JSON.stringify(rows)}`)
      .join('; ')
  } catch (error) {
    const { code, severity } = error as { code?: string; severity?: string }
    return severity === undefined ? 'lost' : String(code)
  }
}

const TABLES = [
  'CREATE TABLE acc (id int PRIMARY KEY, n int)',
  'CREATE TABLE log (k text, n int)',
  'INSERT INTO acc VALUES (1, 10), (2, 20), (3, 30)',
]

async function stateOf(ask: (text: string) => Promise<Result>): Promise<unknown> {
  const acc = await ask('SELECT id, n FROM acc ORDER BY id')
  const log = await ask('SELECT k, n FROM log ORDER BY k')
  const prepared = await ask('SELECT gid FROM pg_prepared_xacts ORDER BY gid')
  return { acc: acc.rows, log: log.rows.map((row) => JSON.stringify(row)).sort(), prepared: prepared.rows }
}

/** A real server. */
export class RealPostgres implements Party {
  readonly deadlockMs = 4 * DEADLOCK_MS
  readonly #server: LocalServer
  #admin: pg.Client | undefined
  readonly #sessions = new Map<string, { client: pg.Client; pid: number }>()

  constructor(server: LocalServer) {
    this.#server = server
  }

  async send(session: string, statement: Statement): Promise<Outcome> {
    const { client } = await this.#session(session)
    const outcome = await outcomeOf(client as Client, statement)
    // The server sends an error first, and frees the locks after it. This comes back when it has done so.
    await client.query('').catch(() => {})
    return outcome
  }

  async isWaiting(session: string): Promise<boolean> {
    const pid = this.#sessions.get(session)?.pid
    // A lock is granted by whoever frees it, so this can't be out of date as the wait events are.
    const { rows } = await this.#ask(`SELECT 1 FROM pg_locks WHERE pid = ${pid ?? 0} AND NOT granted`)
    return rows.length > 0
  }

  async disconnect(session: string): Promise<void> {
    const open = this.#sessions.get(session)
    if (open === undefined) return
    this.#sessions.delete(session)
    await open.client.end()
    while ((await this.#ask(`SELECT 1 FROM pg_stat_activity WHERE pid = ${open.pid}`)).rows.length > 0);
  }

  async crash(): Promise<void> {
    this.#sessions.clear()
    this.#admin = undefined
    await this.#server.kill()
    await this.#server.restart()
  }

  state(): Promise<unknown> {
    return stateOf((text) => this.#ask(text))
  }

  async reset(): Promise<void> {
    for (const session of SESSIONS) await this.disconnect(session)
    const { rows } = await this.#ask('SELECT gid FROM pg_prepared_xacts')
    for (const { gid } of rows) await this.#ask(`ROLLBACK PREPARED '${String(gid)}'`)
    await this.#ask('DROP TABLE IF EXISTS acc, log')
    for (const text of TABLES) await this.#ask(text)
  }

  async close(): Promise<void> {
    for (const session of SESSIONS) await this.disconnect(session)
    await this.#admin?.end()
  }

  async #ask(text: string): Promise<Result> {
    this.#admin ??= await connect(this.#server.url())
    return (await this.#admin.query(text)) as Result
  }

  async #session(name: string): Promise<{ client: pg.Client; pid: number }> {
    const known = this.#sessions.get(name)
    if (known !== undefined) return known
    const client = await connect(this.#server.url())
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
    const made = { client, pid: rows[0].pid as number }
    this.#sessions.set(name, made)
    return made
  }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client(url)
  client.on('error', () => {})
  await client.connect()
  return client
}

/** The simulated one. */
export class PretendedPostgres implements Party {
  readonly deadlockMs = 4 * DEADLOCK_MS
  readonly #net = new Loopback()
  #server!: SimPostgres
  #process!: LoopbackHost
  #pool!: SimPgPool
  readonly #sessions = new Map<string, SimPgClient>()
  readonly #waiting = new Set<string>()

  async send(session: string, statement: Statement): Promise<Outcome> {
    const client = await this.#session(session)
    this.#waiting.add(session)
    const outcome = await outcomeOf(client as Client, statement)
    this.#waiting.delete(session)
    return outcome
  }

  /** Without an answer after a few turns it waits for a lock: nothing else takes time here. */
  async isWaiting(session: string): Promise<boolean> {
    await turns()
    return this.#waiting.has(session)
  }

  async disconnect(session: string): Promise<void> {
    this.#sessions.get(session)?.release(true)
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
    const client = await this.#pool.connect()
    const state = await stateOf((text) => client.query(text) as Promise<Result>)
    client.release()
    return state
  }

  async reset(): Promise<void> {
    this.#server = new SimPostgres({ name: 'sim', preparedMax: PREPARED_MAX, deadlockMs: DEADLOCK_MS })
    this.#sessions.clear()
    this.#start()
    const client = await this.#pool.connect()
    for (const text of TABLES) await client.query(text)
    client.release()
  }

  #start(): void {
    this.#process = this.#net.host()
    this.#server.serve(this.#process)
    this.#pool = new SimPgPool(this.#net.host(), { database: 'sim' })
  }

  async #session(name: string): Promise<SimPgClient> {
    const known = this.#sessions.get(name)
    if (known !== undefined) return known
    const client = await this.#pool.connect()
    client.on('error', () => {})
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
  if (random.chance(0.03)) return { kind: 'disconnect', session }
  return { kind: 'send', session, statement: nextStatement(random) }
}

function nextStatement(random: Prng): Statement {
  const id = random.between(1, 4)
  const n = random.between(-9, 9)
  const gid = `g${random.between(1, 4)}`
  const plain = (text: string): Statement => ({ text, values: [] })
  const makers: readonly (() => Statement)[] = [
    () => plain('BEGIN'),
    () => plain('BEGIN'),
    () => plain('BEGIN'),
    () => plain(random.pick(['COMMIT', 'ROLLBACK', 'COMMIT AND CHAIN', 'END', 'ABORT'])),
    () => plain(`SAVEPOINT s${random.between(1, 2)}`),
    () => plain(`ROLLBACK TO SAVEPOINT s${random.between(1, 2)}`),
    () => plain(`RELEASE SAVEPOINT s${random.between(1, 2)}`),
    () => ({ text: 'UPDATE acc SET n = n + $1 WHERE id = $2', values: [n, id] }),
    () => ({ text: 'UPDATE acc SET n = n + $1 WHERE id = $2', values: [n, id] }),
    () => plain(`UPDATE acc SET n = ${n} WHERE id = ${id}`),
    () => ({ text: 'SELECT n FROM acc WHERE id = $1 FOR UPDATE', values: [id] }),
    () => plain(`SELECT n FROM acc WHERE id = ${id} FOR UPDATE NOWAIT`),
    () => plain('SELECT id, n FROM acc ORDER BY id'),
    () => plain('SELECT count(*) AS c, sum(n) AS s FROM acc'),
    () => plain(`INSERT INTO acc VALUES (${id}, ${n})`),
    () => ({ text: 'INSERT INTO log VALUES ($1, $2)', values: [`k${id}`, n] }),
    () => plain(`DELETE FROM acc WHERE id = ${id}`),
    () => plain(random.pick(['SELECT nonsense', 'SELEC 1', 'INSERT INTO nope VALUES (1)', 'SELECT nope(1)'])),
    () => plain(`PREPARE TRANSACTION '${gid}'`),
    () => plain(`PREPARE TRANSACTION '${gid}'`),
    () => plain(`PREPARE TRANSACTION '${gid}'`),
    () => plain(`COMMIT PREPARED '${gid}'`),
    () => plain(`ROLLBACK PREPARED '${gid}'`),
    () => plain('SELECT gid FROM pg_prepared_xacts ORDER BY gid'),
    () => plain(`SET LOCAL concordat.branch = '${gid}'`),
    () =>
      plain(`SELECT pg_current_xact_id_if_assigned() IS NULL AS none, current_setting('concordat.branch', true) AS b`),
    () => plain(`BEGIN; SET LOCAL concordat.branch = '${gid}'; UPDATE acc SET n = n + 1 WHERE id = ${id}`),
    () => plain(`SELECT 1 AS one; UPDATE acc SET n = 0 WHERE id = ${id}; COMMIT`),
    () => plain(`INSERT INTO log VALUES ('m', 1); SELECT nonsense; INSERT INTO log VALUES ('m', 2)`),
    () => plain(`INSERT INTO log VALUES ('p', 1); PREPARE TRANSACTION '${gid}'`),
    () => plain(`INSERT INTO log VALUES ('q', 1); COMMIT PREPARED '${gid}'`),
  ]
  return random.pick(makers)()
}
