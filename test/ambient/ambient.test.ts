import { setTimeout as sleep } from 'node:timers/promises'
import type { PoolConnection } from 'mysql2'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { currentTransaction, outside } from '../../src/client/index.ts'
import { AmbientWorld, noMariadb } from './ambient.support.ts'

let world: AmbientWorld
beforeAll(async () => {
  world = await AmbientWorld.start()
})
afterAll(() => world?.close())

const INSERT = 'INSERT INTO notes VALUES ($1)'
const BREAK = new Error('the application changed its mind')

test('P1: within transaction() plain queries of two databases commit together, or not at all', async () => {
  const { concordat } = world
  const { database: flights } = world.pg()
  const { database: payments } = world.js()
  const both = (key: string, end?: Error) =>
    concordat.transaction(async () => {
      await flights.query(INSERT, [`${key} flights`])
      const { sql } = payments
      await sql`INSERT INTO notes VALUES (${`${key} payments`})`
      if (end !== undefined) throw end
    })
  await both('kept')
  expect(await world.notes('kept')).toEqual(['kept flights', 'kept payments'])
  await expect(both('undone', BREAK)).rejects.toBe(BREAK)
  expect(await world.notes('undone')).toEqual([])
  // The second database refuses: what the first did goes as well.
  await world.admin.query(INSERT, ['mixed flights'])
  await expect(both('mixed')).rejects.toMatchObject({ code: '23505' })
  expect(await world.notes('mixed')).toEqual(['mixed flights'])
})

test('outside of a transaction a plain query is an ordinary one, with the types of its pool', async () => {
  const { database: flights } = world.pg()
  await flights.query(INSERT, ['ordinary'])
  expect(await world.notes('ordinary')).toEqual(['ordinary'])
  const { rows } = await flights.query<{ n: number }>('SELECT 1 AS n')
  const n: number | undefined = rows[0]?.n
  expect(n).toBe(1)
  expect(currentTransaction()).toBeUndefined()
})

test('concurrent first uses open one branch, and its statements take turns', async () => {
  const { database: flights, pool } = world.pg(2)
  const sessions = await world.concordat.transaction(async (tx) => {
    expect(currentTransaction()).toBe(tx)
    const found = await Promise.all(
      Array.from({ length: 20 }, () => flights.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')),
    )
    const enlisted = await (await tx.enlist(flights)).query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
    return [...found, enlisted].map(({ rows }) => rows[0]?.pid)
  })
  expect(new Set(sessions).size).toBe(1)
  expect(pool.totalCount).toBe(1)
})

test('transactions at the same time keep their statements apart', async () => {
  const { database: flights } = world.pg(8)
  const run = (name: string) =>
    world.concordat.transaction(async () => {
      await flights.query(INSERT, [`apart ${name}`])
      await sleep(5)
      const { rows } = await flights.query("SELECT what FROM notes WHERE what LIKE 'apart%'")
      if (Number(name) % 2 === 1) throw BREAK
      return rows.length
    })
  const ends = await Promise.allSettled(Array.from({ length: 8 }, (_, index) => run(String(index))))
  expect(ends.map(({ status }) => status)).toEqual(
    Array.from({ length: 8 }, (_, index) => (index % 2 === 1 ? 'rejected' : 'fulfilled')),
  )
  expect(await world.notes('apart')).toEqual(['apart 0', 'apart 2', 'apart 4', 'apart 6'])
})

test('a query of a timer that outlives its transaction is refused: it runs neither outside nor in another transaction', async () => {
  const { database: flights } = world.pg()
  const { database: payments } = world.js()
  const late: Promise<unknown>[] = []
  await world.concordat.transaction(async () => {
    await flights.query(INSERT, ['leaking'])
    const later = sleep(60)
    late.push(
      later.then(() => flights.query(INSERT, ['leaked query'])),
      later.then(() => flights.pool.connect()),
      later.then(() => payments.sql`INSERT INTO notes VALUES ('leaked sql')`),
    )
    // Made in the transaction, and sent after it.
    const lazy = payments.sql`INSERT INTO notes VALUES ('leaked lazy')`
    late.push(later.then(() => outside(() => lazy)))
    for (const promise of late) promise.catch(() => {})
  })
  const other = world.concordat.transaction(async () => {
    await flights.query(INSERT, ['leaking into'])
    await sleep(120)
  })
  for (const promise of late) await expect(promise).rejects.toMatchObject({ code: 'TXN_ENDED' })
  await other
  expect(await world.notes('leak')).toEqual(['leaking', 'leaking into'])
})

test('P1: a statement that nobody awaits aborts the transaction, even when its branch was not open yet', async () => {
  const { database: flights } = world.pg()
  const { database: payments } = world.js()
  const forget = (work: () => PromiseLike<unknown>) =>
    world.concordat.transaction(() => {
      work().then(undefined, () => {})
    })
  const notAwaited = { code: 'TXN_ABORTED', reason: 'notAwaited' }
  await expect(forget(() => flights.query(INSERT, ['forgotten']))).rejects.toMatchObject(notAwaited)
  await expect(forget(() => flights.pool.connect())).rejects.toMatchObject(notAwaited)
  await expect(forget(() => payments.sql`INSERT INTO notes VALUES ('forgotten')`.execute())).rejects.toMatchObject(
    notAwaited,
  )
  expect(await world.notes('forgotten')).toEqual([])
})

test('outside() runs an ordinary query in the midst of a transaction, also a lazy one', async () => {
  const { database: flights } = world.pg()
  const { database: payments } = world.js()
  const run = world.concordat.transaction(async () => {
    await flights.query(INSERT, ['audit undone'])
    await outside(() => flights.query(INSERT, ['audit flights']))
    await outside(() => payments.sql`INSERT INTO notes VALUES ('audit payments')`)
    const lazy = await outside(() => ({ query: payments.sql`INSERT INTO notes VALUES ('audit lazy')` }))
    await lazy.query
    expect(await outside(() => currentTransaction())).toBeUndefined()
    throw BREAK
  })
  await expect(run).rejects.toBe(BREAK)
  expect(await world.notes('audit')).toEqual(['audit flights', 'audit lazy', 'audit payments'])
})

test('a transaction within a transaction is refused, unless it is asked for outside', async () => {
  const { concordat } = world
  const { database: flights } = world.pg()
  await concordat.transaction(async (tx) => {
    const nested = concordat.transaction(() => flights.query(INSERT, ['inner']))
    await expect(nested).rejects.toMatchObject({ code: 'TXN_NESTED', txid: tx.txid })
    await outside(() => concordat.transaction(() => flights.query(INSERT, ['own'])))
    expect(currentTransaction()).toBe(tx)
  })
  expect(await world.notes('inner')).toEqual([])
  expect(await world.notes('own')).toEqual(['own'])
})

test('connections that a transaction opened do not carry it on', async () => {
  const { database: flights, pool } = world.pg(1)
  const seen: unknown[] = []
  pool.on('connect', () => seen.push(currentTransaction()))
  pool.on('acquire', () => seen.push(currentTransaction()))
  await world.concordat.transaction(() => flights.query('SELECT 1'))
  expect(seen).toEqual([undefined, undefined])
})

test('what is set on a lent connection stays with it, and a lent one is a client like others', async () => {
  const { database: flights, pool } = world.pg(1)
  await world.concordat.transaction(async () => {
    const client = await flights.pool.connect()
    expect(client).toBeInstanceOf(pg.Client)
    expect(flights.pool).toBeInstanceOf(pg.Pool)
    const marked = Object.assign(client, { mark: 'an ORM was here' })
    expect('mark' in client && marked.mark).toBe('an ORM was here')
    client.release()
  })
  const client = await pool.connect()
  expect('mark' in client).toBe(false)
  client.release()
})

test('a callback of the pool runs in the context of its caller', async () => {
  const { database: flights } = world.pg(1)
  const inside = await world.concordat.transaction(
    (tx) =>
      new Promise((resolve) => {
        flights.query('SELECT 1', () => resolve(currentTransaction() === tx))
      }),
  )
  expect(inside).toBe(true)
  // This pool's only connection is opened within a transaction, whose context it keeps.
  const { database: other, pool } = world.pg(1)
  await world.concordat.transaction(() => pool.query('SELECT 1'))
  const written = new Promise((resolve, reject) => {
    other.query('SELECT 1', () => {
      other.query(INSERT, ['called back']).then(resolve, reject)
    })
  })
  await written
  expect(await world.notes('called')).toEqual(['called back'])
})

describe('what a library makes of a pool within a transaction', () => {
  test('its BEGIN and COMMIT are a savepoint, and its ROLLBACK undoes no more than that', async () => {
    const { database: flights } = world.pg()
    await world.concordat.transaction(async () => {
      await flights.query(INSERT, ['savepoint before'])
      for (const end of ['COMMIT', 'ROLLBACK']) {
        const client = await flights.pool.connect()
        await client.query('BEGIN')
        await client.query(INSERT, [`savepoint ${end}`])
        await client.query(end)
        client.release()
        await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: 'CONNECTION_RELEASED' })
      }
    })
    expect(await world.notes('savepoint')).toEqual(['savepoint COMMIT', 'savepoint before'])
  })

  test('P1: nested transactions at the same time take turns: none undoes the work of another', async () => {
    const { database: flights } = world.pg()
    const nested = async (name: string, end: string): Promise<void> => {
      const client = await flights.pool.connect()
      await client.query('START TRANSACTION')
      await client.query(INSERT, [`turns ${name}`])
      await sleep(10)
      await client.query(end)
      client.release()
    }
    await world.concordat.transaction(async () => {
      await Promise.all([
        nested('a', 'ROLLBACK'),
        nested('b', 'COMMIT'),
        flights.query(INSERT, ['turns c']),
        nested('d', 'ROLLBACK'),
        nested('e', 'COMMIT'),
      ])
    })
    expect(await world.notes('turns')).toEqual(['turns b', 'turns c', 'turns e'])
  })

  test('a nested transaction that is released open is rolled back; one that is left open aborts everything', async () => {
    const { database: flights } = world.pg()
    const open = async (name: string) => {
      const client = await flights.pool.connect()
      await client.query('BEGIN')
      await client.query(INSERT, [name])
      return client
    }
    await world.concordat.transaction(async () => {
      const client = await open('open released')
      client.release()
      await flights.query(INSERT, ['open kept'])
    })
    const left = world.concordat.transaction(async () => void (await open('open left')))
    await expect(left).rejects.toMatchObject({ reason: 'notAwaited' })
    expect(await world.notes('open')).toEqual(['open kept'])
  })

  test('COMMIT without BEGIN is refused and aborts everything, and so are an isolation level and a database error', async () => {
    const { database: flights } = world.pg()
    const send = (...texts: string[]) =>
      world.concordat.transaction(async () => {
        const client = await flights.pool.connect()
        await client.query(INSERT, ['refused'])
        for (const text of texts) await client.query(text)
      })
    const refused = { code: 'BRANCH_STATEMENT_REFUSED' }
    await expect(send('COMMIT')).rejects.toMatchObject(refused)
    await expect(send('BEGIN ISOLATION LEVEL SERIALIZABLE')).rejects.toMatchObject(refused)
    await expect(world.concordat.transaction(() => flights.query('COMMIT'))).rejects.toMatchObject(refused)
    const caught = world.concordat.transaction(async () => {
      const client = await flights.pool.connect()
      await client.query('BEGIN')
      await client.query(INSERT, ['refused twice'])
      await client.query(INSERT, ['refused twice']).catch(() => {})
      await client.query('ROLLBACK')
    })
    await expect(caught).rejects.toMatchObject({ code: 'TXN_ABORTED', reason: 'votedAbort', participant: 'flights' })
    expect(await world.notes('refused')).toEqual([])
  })

  test('what sends itself (cursors, ready-made queries, streams) works on a lent connection, and waits for nobody', async () => {
    const { database: flights } = world.pg()
    const sendItself = (client: pg.PoolClient) =>
      new Promise((resolve, reject) => {
        const done = (error: unknown): void => (error ? reject(error) : resolve(undefined))
        client.query(new pg.Query("INSERT INTO notes VALUES ('itself')", done as never))
      })
    await world.concordat.transaction(async () => {
      const [client, other] = [await flights.pool.connect(), await flights.pool.connect()]
      await sendItself(client)
      await client.query('BEGIN')
      await expect(sendItself(other)).rejects.toMatchObject({ code: 'BRANCH_STATEMENT_REFUSED' })
      await client.query('COMMIT')
    })
    expect(await world.notes('itself')).toEqual(['itself'])
  })

  test('postgres.js: begin, savepoint, reserve and file work in the branch, notify is refused', async () => {
    const { database: payments } = world.js()
    const { sql } = payments
    const file = world.file("INSERT INTO notes VALUES ('js file')")
    await world.concordat.transaction(async () => {
      await sql.begin(async (inner) => {
        await inner`INSERT INTO notes VALUES ('js begun')`
        const undone = inner.savepoint(async (deeper) => {
          await deeper`INSERT INTO notes VALUES ('js deeper')`
          throw BREAK
        })
        await expect(undone).rejects.toBe(BREAK)
      })
      const undone = sql.begin(async (inner) => {
        await inner`INSERT INTO notes ${inner([{ what: 'js undone' }])}`
        throw BREAK
      })
      await expect(undone).rejects.toBe(BREAK)
      const reserved = await sql.reserve()
      await reserved`INSERT INTO notes VALUES ('js reserved')`
      reserved.release()
      await sql.unsafe("INSERT INTO notes VALUES ('js unsafe')")
      await sql.file(file)
      const rows = await sql<{ what: string }[]>`SELECT what FROM notes WHERE what ${sql`LIKE ${'js%'}`} ORDER BY what`
      expect(rows.map(({ what }) => what)).toEqual(['js begun', 'js file', 'js reserved', 'js unsafe'])
      expect(await outside(() => world.notes('js'))).toEqual([])
    })
    expect(await world.notes('js')).toEqual(['js begun', 'js file', 'js reserved', 'js unsafe'])
    const notified = world.concordat.transaction(() => sql.notify('channel', 'payload'))
    await expect(notified).rejects.toMatchObject({ code: 'BRANCH_STATEMENT_REFUSED' })
  })
})

describe.skipIf(noMariadb)('MariaDB', () => {
  test('P1: plain queries of a promise pool and of a callback pool run in the branch', async () => {
    const { database: hotels } = world.promises()
    const { database: cars } = world.callbacks()
    const run = (key: string, end?: Error) =>
      world.concordat.transaction(async (tx) => {
        await hotels.query('INSERT INTO notes VALUES (?)', [`${key} query`])
        await hotels.execute('INSERT INTO notes VALUES (?)', [`${key} execute`])
        const context = await new Promise((resolve, reject) => {
          cars.query('INSERT INTO notes VALUES (?)', [`${key} callback`], (error) =>
            error ? reject(error) : resolve(currentTransaction() === tx),
          )
        })
        expect(context).toBe(true)
        await cars.pool.promise().query('INSERT INTO notes VALUES (?)', [`${key} promise()`])
        if (end !== undefined) throw end
      })
    await run('my')
    expect(await world.notes('my')).toEqual(['my callback', 'my execute', 'my promise()', 'my query'])
    await expect(run('no', BREAK)).rejects.toBe(BREAK)
    expect(await world.notes('no ')).toEqual([])
    await hotels.query("INSERT INTO notes VALUES ('ordinary hotels')")
    expect(await world.notes('ordinary h')).toEqual(['ordinary hotels'])
  })

  test("a connection's transactions are savepoints, by statement and by method, with promises and with callbacks", async () => {
    const { database: hotels } = world.promises()
    const { database: cars } = world.callbacks()
    await world.concordat.transaction(async () => {
      const connection = await hotels.pool.getConnection()
      await connection.beginTransaction()
      await connection.query("INSERT INTO notes VALUES ('methods undone')")
      await connection.rollback()
      await connection.query('START TRANSACTION')
      await connection.query("INSERT INTO notes VALUES ('methods kept')")
      await connection.query('COMMIT')
      connection.release()
      await new Promise<void>((resolve, reject) => {
        cars.pool.getConnection((failure, given) => {
          if (failure) return reject(failure)
          given.beginTransaction((error) => {
            if (error) return reject(error)
            given.query("INSERT INTO notes VALUES ('methods callback')", (wrong) => {
              if (wrong) return reject(wrong)
              given.commit((last) => {
                given.release()
                if (last) reject(last)
                else resolve()
              })
            })
          })
        })
      })
    })
    expect(await world.notes('methods')).toEqual(['methods callback', 'methods kept'])
  })

  test('a stream needs a connection, and reads in the branch', async () => {
    const { database: cars } = world.callbacks()
    await world.concordat.transaction(async () => {
      await cars.pool.promise().query("INSERT INTO notes VALUES ('stream')")
      expect(() => cars.query('SELECT 1')).toThrow('refused')
      const given = await new Promise<PoolConnection>((resolve, reject) => {
        cars.pool.getConnection((error, connection) => (error ? reject(error) : resolve(connection)))
      })
      const rows = given.query("SELECT what FROM notes WHERE what = 'stream'").stream()
      expect(await rows.toArray()).toEqual([{ what: 'stream' }])
    })
  })

  test('a query that outlives its transaction is refused', async () => {
    const { database: hotels } = world.promises()
    let late: Promise<unknown> | undefined
    await world.concordat.transaction(async () => {
      await hotels.query('SELECT 1')
      late = sleep(30).then(() => hotels.query("INSERT INTO notes VALUES ('late')"))
      late.catch(() => {})
    })
    await expect(late).rejects.toMatchObject({ code: 'TXN_ENDED' })
    expect(await world.notes('late')).toEqual([])
  })
})
