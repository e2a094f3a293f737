import pg from 'pg'
import postgresJs from 'postgres'
import type * as client from '../src/client/index.ts'
import type * as postgresModule from '../src/resources/postgres/index.ts'
import { built } from './lib/built.ts'
import { DurableFile } from './lib/disk.ts'
import { drive, type Stretch } from './lib/samples.ts'
import { serveJobs } from './lib/worker.ts'

/** The load process of `transfer`: one application that moves money between two databases. */
export type TransferJob =
  | {
      readonly kind: 'open'
      readonly coordinators: readonly string[]
      /** The two databases. */
      readonly urls: readonly [string, string]
      readonly driver: Driver
      readonly sessions: number
      readonly directory: string
    }
  | { readonly kind: 'run'; readonly way: Way; readonly callers: number; readonly seconds: number }
  | { readonly kind: 'close' }

export type Driver = 'postgres' | 'pg'
export type Way = 'concordat' | 'handWritten'

/** Each caller has accounts of its own, so nobody waits for a lock: what is measured is the way, not the luck. */
export const ACCOUNTS_PER_CALLER = 100

const DEBIT = 'update accounts set balance = balance - 1 where id = $1'
const CREDIT = 'update accounts set balance = balance + 1 where id = $1'

const { Concordat } = await built<typeof client>('client')
const { postgres } = await built<typeof postgresModule>('resources/postgres')

/** One transfer between account `id` of both databases. */
type Transfer = (id: number) => Promise<void>

/** What a driver brings: both ways of a transfer over the same pools. */
interface Bank {
  readonly ways: Readonly<Record<Way, Transfer>>
  close(): Promise<void>
}

function overPostgresJs({ urls, sessions, coordinators }: Open, log: DurableFile): Bank {
  const options = { max: sessions, onnotice: () => {} }
  const [left, right] = [postgresJs(urls[0], options), postgresJs(urls[1], options)]
  const concordat = new Concordat({ coordinators: [...coordinators] })
  const [from, to] = [postgres(left, { name: 'left' }), postgres(right, { name: 'right' })]

  const handWrittenHalf = async (sql: postgresJs.ReservedSql, update: string, id: number, gid: string) => {
    await sql.unsafe('BEGIN')
    await sql.unsafe(update, [id], { prepare: true })
    await sql.unsafe(`PREPARE TRANSACTION '${gid}'`)
  }
  return {
    ways: {
      concordat: (id) =>
        concordat.transaction(async (tx) => {
          const [a, b] = await Promise.all([tx.enlist(from), tx.enlist(to)])
          await Promise.all([
            a`update accounts set balance = balance - 1 where id = ${id}`,
            b`update accounts set balance = balance + 1 where id = ${id}`,
          ])
        }),
      handWritten: async (id) => {
        const gid = nextGid()
        const [a, b] = await Promise.all([left.reserve(), right.reserve()])
        await Promise.all([handWrittenHalf(a, DEBIT, id, gid), handWrittenHalf(b, CREDIT, id, gid)])
        await log.write()
        await Promise.all([a.unsafe(`COMMIT PREPARED '${gid}'`), b.unsafe(`COMMIT PREPARED '${gid}'`)])
        a.release()
        b.release()
      },
    },
    close: async () => {
      await concordat.close()
      await Promise.all([left.end(), right.end()])
    },
  }
}

function overPg({ urls, sessions, coordinators }: Open, log: DurableFile): Bank {
  const [left, right] = urls.map((connectionString) => new pg.Pool({ connectionString, max: sessions })) as [
    pg.Pool,
    pg.Pool,
  ]
  const concordat = new Concordat({ coordinators: [...coordinators] })
  const [from, to] = [postgres(left, { name: 'left' }), postgres(right, { name: 'right' })]
  // Named, so that the server parses each once a session, as postgres.js does by itself.
  const debit = (id: number) => ({ name: 'debit', text: DEBIT, values: [id] })
  const credit = (id: number) => ({ name: 'credit', text: CREDIT, values: [id] })

  const handWrittenHalf = async (session: pg.PoolClient, update: pg.QueryConfig, gid: string) => {
    await session.query('BEGIN')
    await session.query(update)
    await session.query(`PREPARE TRANSACTION '${gid}'`)
  }
  return {
    ways: {
      concordat: (id) =>
        concordat.transaction(async (tx) => {
          const [a, b] = await Promise.all([tx.enlist(from), tx.enlist(to)])
          await Promise.all([a.query(debit(id)), b.query(credit(id))])
        }),
      handWritten: async (id) => {
        const gid = nextGid()
        const [a, b] = await Promise.all([left.connect(), right.connect()])
        await Promise.all([handWrittenHalf(a, debit(id), gid), handWrittenHalf(b, credit(id), gid)])
        await log.write()
        await Promise.all([a.query(`COMMIT PREPARED '${gid}'`), b.query(`COMMIT PREPARED '${gid}'`)])
        a.release()
        b.release()
      },
    },
    close: async () => {
      await concordat.close()
      await Promise.all([left.end(), right.end()])
    },
  }
}

type Open = Extract<TransferJob, { kind: 'open' }>

let gids = 0

function nextGid(): string {
  gids += 1
  return `hand-${process.pid}-${gids}`
}

let bank: Bank | undefined
let log: DurableFile | undefined

async function open(job: Open): Promise<void> {
  log ??= await DurableFile.create(job.directory)
  bank = job.driver === 'pg' ? overPg(job, log) : overPostgresJs(job, log)
}

async function run(way: Way, callers: number, seconds: number): Promise<Stretch> {
  if (bank === undefined) throw new Error('no bank is open')
  const transfer = bank.ways[way]
  let made = 0
  return drive(callers, seconds, (caller) => {
    made += 1
    return transfer(caller * ACCOUNTS_PER_CALLER + (made % ACCOUNTS_PER_CALLER))
  })
}

serveJobs<TransferJob, Stretch | undefined>(async (job) => {
  if (job.kind === 'run') return run(job.way, job.callers, job.seconds)
  if (job.kind === 'open') await open(job)
  else await bank?.close()
  return undefined
})
