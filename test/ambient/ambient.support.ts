import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mysql2 from 'mysql2'
import promiseMysql from 'mysql2/promise'
import pg from 'pg'
import postgresJs from 'postgres'
import { Concordat } from '../../src/client/index.ts'
import { findMariadb, LocalServers, MARIADB_INSTALL_HINT } from '../../src/localdb/index.ts'
import { mysql, postgres } from '../../src/resources/index.ts'

export const noMariadb = findMariadb() === undefined
if (noMariadb) console.warn(`the MariaDB stories are skipped; to run them: ${MARIADB_INSTALL_HINT}`)

/**
 * One PostgreSQL server with two databases, MariaDB where it is installed, and a Concordat. Every database has a table `notes`
 * (what varchar) in which a test writes what it did.
 */
export class AmbientWorld {
  static async start(): Promise<AmbientWorld> {
    const servers = new LocalServers()
    try {
      const [server, east] = await Promise.all([
        servers.startPostgres(),
        noMariadb ? undefined : servers.startMariadb({ settings: { innodb_lock_wait_timeout: '2' } }),
      ])
      const admin = new pg.Pool({ connectionString: server.url(), max: 3 })
      admin.on('error', () => {})
      await admin.query('CREATE DATABASE second')
      const secondUrl = new URL(server.url())
      secondUrl.pathname = '/second'
      const world = new AmbientWorld(servers, server.url(), secondUrl.href, east?.url(), admin)
      await world.#prepare()
      return world
    } catch (error) {
      await servers.close()
      throw error
    }
  }

  readonly firstUrl: string
  readonly secondUrl: string
  /** MariaDB. */
  readonly eastUrl: string | undefined
  readonly admin: pg.Pool
  readonly #servers: LocalServers
  readonly #folder = mkdtempSync(join(tmpdir(), 'concordat-ambient-'))
  readonly #closers: (() => Promise<unknown>)[] = []
  #concordat: Concordat | undefined

  private constructor(servers: LocalServers, first: string, second: string, east: string | undefined, admin: pg.Pool) {
    this.#servers = servers
    this.firstUrl = first
    this.secondUrl = second
    this.eastUrl = east
    this.admin = admin
  }

  get concordat(): Concordat {
    return this.#concordat!
  }

  /** The first database, over `pg`. */
  pg(max = 4) {
    const pool = this.#closing(new pg.Pool({ connectionString: this.firstUrl, max }))
    pool.on('error', () => {})
    return { pool, ...named(postgres(pool, { name: 'flights' })) }
  }

  /** The second database, over `pg`. */
  second(): ReturnType<AmbientWorld['pg']> {
    const pool = this.#closing(new pg.Pool({ connectionString: this.secondUrl, max: 2 }))
    pool.on('error', () => {})
    return { pool, ...named(postgres(pool, { name: 'second' })) }
  }

  /** The second database, over postgres.js. */
  js() {
    const sql = postgresJs(this.secondUrl, { max: 3, onnotice: () => {} })
    this.#closers.push(() => sql.end({ timeout: 1 }))
    return { pool: sql, ...named(postgres(sql, { name: 'payments' })) }
  }

  /** MariaDB, over mysql2 with promises. */
  promises() {
    const pool = this.#closing(promiseMysql.createPool({ uri: this.eastUrl!, connectionLimit: 4 }))
    return { pool, ...named(mysql(pool, { name: 'hotels' })) }
  }

  /** MariaDB, over mysql2 with callbacks. */
  callbacks() {
    const pool = mysql2.createPool({ uri: this.eastUrl!, connectionLimit: 4 })
    this.#closers.push(() => pool.promise().end())
    return { pool, ...named(mysql(pool, { name: 'cars' })) }
  }

  /** A file of this text, until `close`. */
  file(text: string): string {
    const path = join(this.#folder, 'statement.sql')
    writeFileSync(path, text)
    return path
  }

  /** What was noted under this beginning, in all databases, sorted. */
  async notes(beginning: string): Promise<readonly string[]> {
    const like = `${beginning}%`
    const all: string[] = []
    for (const url of [this.firstUrl, this.secondUrl]) {
      const { rows } = await withClient(url, (client) =>
        client.query('SELECT what FROM notes WHERE what LIKE $1', [like]),
      )
      all.push(...rows.map(({ what }) => what as string))
    }
    if (this.eastUrl !== undefined) {
      const connection = await promiseMysql.createConnection(this.eastUrl)
      const [rows] = await connection.query('SELECT what FROM notes WHERE what LIKE ?', [like])
      all.push(...(rows as { what: string }[]).map(({ what }) => what))
      await connection.end()
    }
    return all.sort()
  }

  /** Makes a table in every database. */
  async createTable(definition: string): Promise<void> {
    const table = `CREATE TABLE ${definition}`
    await Promise.all([this.firstUrl, this.secondUrl].map((url) => withClient(url, (client) => client.query(table))))
    if (this.eastUrl === undefined) return
    const connection = await promiseMysql.createConnection(this.eastUrl)
    await connection.query(`${table} ENGINE=InnoDB`)
    await connection.end()
  }

  /** Forgets all notes. */
  async clear(): Promise<void> {
    await Promise.all(
      [this.firstUrl, this.secondUrl].map((url) => withClient(url, (client) => client.query('DELETE FROM notes'))),
    )
  }

  async close(): Promise<void> {
    await this.#concordat?.close()
    await Promise.all(this.#closers.map((close) => close()))
    await this.admin.end()
    await this.#servers.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #prepare(): Promise<void> {
    await this.createTable('notes (what varchar(80) PRIMARY KEY)')
    this.#concordat = await Concordat.embedded({ dataDir: join(this.#folder, 'decisions'), clusterId: 'ambient' })
  }

  #closing<Pool extends { end(): Promise<unknown> }>(pool: Pool): Pool {
    this.#closers.push(() => pool.end())
    return pool
  }
}

function named<Database>(database: Database): { readonly database: Database } {
  return { database }
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
