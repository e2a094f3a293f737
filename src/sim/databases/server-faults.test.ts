import { describe, expect, test } from 'vitest'
import type { ServerFaults } from './host.ts'
import { Loopback } from './loopback.support.ts'
import { SimMariadb, SimMysqlPool } from './mariadb/index.ts'
import { SimPgPool, SimPostgres } from './postgres/index.ts'

interface Session {
  /** The rows, or the error's code. */
  ask(text: string): Promise<unknown>
  close(): void
}

interface World {
  readonly faults: ServerFaults
  readonly marks: readonly string[]
  open(): Promise<Session>
  crash(): Promise<void>
}

function postgresWorld(options: { readonly preparedMax?: number; readonly connectionsMax?: number } = {}): World {
  const net = new Loopback()
  const marks: string[] = []
  const server = new SimPostgres({ name: 'db', mark: (mark) => marks.push(mark), ...options })
  let process = net.host()
  server.serve(process)
  const pool = new SimPgPool(net.host(), { database: 'db' })
  return {
    faults: server.faults,
    marks,
    open: async () => {
      const client = await pool.connect()
      client.on('error', () => {})
      return {
        ask: (text) =>
          client.query(text).then(
            ({ rows }) => rows,
            ({ code, message }) => code ?? message,
          ),
        close: () => client.release(true),
      }
    },
    crash: async () => {
      process.kill()
      server.crash()
      process = net.host()
      server.serve(process)
      await turns()
    },
  }
}

function mariadbWorld(options: { readonly connectionsMax?: number } = {}): World {
  const net = new Loopback()
  const marks: string[] = []
  const server = new SimMariadb({ name: 'db', mark: (mark) => marks.push(mark), ...options })
  let process = net.host()
  server.serve(process)
  const pool = new SimMysqlPool(net.host(), { database: 'db' }).promise()
  return {
    faults: server.faults,
    marks,
    open: async () => {
      const session = await pool.getConnection()
      return {
        ask: (text) =>
          session.query(text).then(
            ([rows]) => rows,
            ({ errno, code }) => errno ?? code,
          ),
        close: () => session.connection.destroy(),
      }
    },
    crash: async () => {
      process.kill()
      server.crash()
      process = net.host()
      server.serve(process)
      await turns()
    },
  }
}

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
}

/** With this fault on, one statement is sent; then it is off again. */
async function once(world: World, fault: keyof ServerFaults, session: Session, text: string): Promise<unknown> {
  Object.assign(world.faults, { [fault]: 1 })
  const answer = await session.ask(text)
  Object.assign(world.faults, { [fault]: 0 })
  await turns()
  return answer
}

describe.each([
  ['PostgreSQL', postgresWorld, 'Connection terminated unexpectedly', '57P01'],
  ['MariaDB', mariadbWorld, 'PROTOCOL_CONNECTION_LOST', 1927],
] as const)('a simulated %s', (_name, makeWorld, lost, terminated) => {
  async function withTable(): Promise<{ world: World; session: Session; other: Session }> {
    const world = makeWorld()
    const other = await world.open()
    await other.ask('CREATE TABLE t (k int PRIMARY KEY)')
    return { world, other, session: await world.open() }
  }

  test('carries a statement out and loses the answer', async () => {
    const { world, session, other } = await withTable()
    expect(await once(world, 'loseAnswerChance', session, 'INSERT INTO t VALUES (1)')).toBe(lost)
    expect(await other.ask('SELECT k FROM t')).toEqual([{ k: 1 }])
    expect(world.marks).toContain('database: answer lost after the effect')
  })

  test('loses a statement before it is carried out', async () => {
    const { world, session, other } = await withTable()
    expect(await once(world, 'loseRequestChance', session, 'INSERT INTO t VALUES (1)')).toBe(lost)
    expect(await other.ask('SELECT k FROM t')).toEqual([])
  })

  test('ends a session with a farewell, and rolls its work back', async () => {
    const { world, session, other } = await withTable()
    await session.ask('BEGIN')
    await session.ask('INSERT INTO t VALUES (1)')
    expect(await once(world, 'terminateChance', session, 'INSERT INTO t VALUES (2)')).toBe(terminated)
    expect(await other.ask('SELECT k FROM t')).toEqual([])
    expect(await other.ask('INSERT INTO t VALUES (1)')).not.toBe(terminated)
  })

  test('a session at work does not notice that its client has gone, and rolls back afterwards', async () => {
    const { session, other } = await withTable()
    await session.ask('BEGIN')
    await session.ask('INSERT INTO t VALUES (1)')
    const third = other.ask('INSERT INTO t VALUES (1)')
    session.close()
    // The row is free only when the first session has seen its end.
    expect(await third).not.toBe(terminated)
    expect(await other.ask('SELECT k FROM t')).toEqual([{ k: 1 }])
  })

  test('refuses newcomers when it is full', async () => {
    const world = makeWorld({ connectionsMax: 1 })
    await world.open()
    await expect(world.open()).rejects.toThrow(/too many/i)
  })

  test('a crash rolls back what is not prepared, and everybody who waits hears of it', async () => {
    const { world, session, other } = await withTable()
    await session.ask('BEGIN')
    await session.ask('INSERT INTO t VALUES (1)')
    const waiting = other.ask('INSERT INTO t VALUES (1)')
    await world.crash()
    expect(await waiting).not.toEqual([])
    const fresh = await world.open()
    expect(await fresh.ask('SELECT k FROM t')).toEqual([])
  })
})

describe('a simulated PostgreSQL', () => {
  test('a branch that is being committed is busy for everybody else', async () => {
    const world = postgresWorld()
    const [first, second] = [await world.open(), await world.open()]
    await first.ask('CREATE TABLE t (k int)')
    await first.ask("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'g'")
    world.faults.settleMs = [30, 30]
    const settling = first.ask("COMMIT PREPARED 'g'")
    await turns()
    expect(await second.ask("COMMIT PREPARED 'g'")).toBe('55000')
    expect(await settling).toEqual([])
    expect(await second.ask("COMMIT PREPARED 'g'")).toBe('42704')
  })

  test('a crash in the middle of COMMIT PREPARED leaves the branch prepared', async () => {
    const world = postgresWorld()
    const first = await world.open()
    await first.ask('CREATE TABLE t (k int)')
    await first.ask("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'g'")
    world.faults.settleMs = [10_000, 10_000]
    const settling = first.ask("COMMIT PREPARED 'g'")
    await turns()
    await world.crash()
    await settling
    const fresh = await world.open()
    expect(await fresh.ask('SELECT gid FROM pg_prepared_xacts')).toEqual([{ gid: 'g' }])
    expect(await fresh.ask('SELECT k FROM t')).toEqual([])
  })

  test('an xid beyond 32 bits is whole in the session and cut in pg_prepared_xacts', async () => {
    const net = new Loopback()
    const server = new SimPostgres({ name: 'db', firstXid: 5 * 2 ** 32 + 7 })
    server.serve(net.host())
    const client = await new SimPgPool(net.host(), { database: 'db' }).connect()
    await client.query('CREATE TABLE t (k int)')
    await client.query('BEGIN; INSERT INTO t VALUES (1)')
    const { rows } = await client.query('SELECT pg_current_xact_id_if_assigned()::text AS xid')
    await client.query("PREPARE TRANSACTION 'g'")
    const listed = await client.query('SELECT transaction::text AS xid FROM pg_prepared_xacts')
    expect(BigInt(String(rows[0]!.xid)) & 0xffff_ffffn).toBe(BigInt(String(listed.rows[0]!.xid)))
    const status = await client.query(`SELECT pg_xact_status('${String(rows[0]!.xid)}'::xid8) AS status`)
    expect(status.rows).toEqual([{ status: 'in progress' }])
  })
})

describe('a simulated MariaDB', () => {
  const prepare = async (session: Session): Promise<void> => {
    await session.ask("XA START 'x'")
    await session.ask('INSERT INTO t VALUES (1)')
    await session.ask("XA END 'x'; XA PREPARE 'x'")
  }

  test('while somebody ends a branch that has no session, others do not know its xid', async () => {
    const world = mariadbWorld()
    const [owner, first, second] = [await world.open(), await world.open(), await world.open()]
    await owner.ask('CREATE TABLE t (k int)')
    await prepare(owner)
    owner.close()
    await turns()
    world.faults.settleMs = [30, 30]
    const settling = first.ask("XA COMMIT 'x'")
    await turns()
    expect(await second.ask("XA COMMIT 'x'")).toBe(1397)
    expect(await settling).toEqual({ affectedRows: 0 })
    expect(await second.ask('SELECT k FROM t')).toEqual([{ k: 1 }])
  })

  test('who dies while it ends somebody’s branch leaves the branch to others', async () => {
    const world = mariadbWorld()
    const [owner, first] = [await world.open(), await world.open()]
    await owner.ask('CREATE TABLE t (k int)')
    await prepare(owner)
    owner.close()
    await turns()
    world.faults.settleMs = [10_000, 10_000]
    void first.ask("XA COMMIT 'x'")
    await turns()
    await world.crash()
    world.faults.settleMs = [0, 0]
    const fresh = await world.open()
    expect(await fresh.ask("XA ROLLBACK 'x'")).toEqual({ affectedRows: 0 })
    expect(await fresh.ask('SELECT k FROM t')).toEqual([])
  })
})
