import pg from 'pg'
import type * as client from '../src/client/index.ts'
import type * as postgresModule from '../src/resources/postgres/index.ts'
import { built } from './lib/built.ts'
import { drive, Samples, type Stretch } from './lib/samples.ts'
import { serveJobs } from './lib/worker.ts'

/** The load process of `deadlocks`: one application over two databases, with deadlock detection or without. */
export type DeadlocksJob =
  | {
      readonly kind: 'open'
      readonly coordinators: readonly string[]
      /** The two databases. */
      readonly urls: readonly [string, string]
      readonly sessions: number
    }
  /** Transfers; `hot`: half of the callers queue up for one row of the one database, half for one of the other. */
  | {
      readonly kind: 'run'
      readonly detection: boolean
      readonly hot: boolean
      readonly callers: number
      readonly seconds: number
    }
  /** Deadlocks, one after the other; what is measured is the time from the statement that closes one to its victim's error. */
  | { readonly kind: 'break'; readonly count: number }
  | { readonly kind: 'close' }

/** Rows of each caller of its own; those of all are behind them. */
export const ROWS_PER_CALLER = 100
export const HOT_ROWS = [1_000_000, 1_000_001] as const

const { Concordat } = await built<typeof client>('client')
const { postgres } = await built<typeof postgresModule>('resources/postgres')

type Application = Awaited<ReturnType<typeof open>>
let application: Application | undefined

async function open({ coordinators, urls, sessions }: Extract<DeadlocksJob, { kind: 'open' }>) {
  const pools = urls.map((connectionString) => new pg.Pool({ connectionString, max: sessions }))
  const [left, right] = pools.map((pool, index) => postgres(pool, { name: ['left', 'right'][index]! }))
  const over = (deadlockDetection: boolean) => new Concordat({ coordinators: [...coordinators], deadlockDetection })
  return { pools, databases: [left!, right!] as const, on: over(true), off: over(false) }
}

type Tx = Parameters<Parameters<InstanceType<typeof Concordat>['transaction']>[1]>[0]

async function take(tx: Tx, database: Application['databases'][number], id: number): Promise<void> {
  const session = await tx.enlist(database)
  // Named, so that the server parses it once a session.
  await session.query({ name: 'take', text: 'update accounts set balance = balance + 1 where id = $1', values: [id] })
}

async function run({ databases, on, off }: Application, job: Extract<DeadlocksJob, { kind: 'run' }>): Promise<Stretch> {
  const concordat = job.detection ? on : off
  let made = 0
  return drive(job.callers, job.seconds, async (caller) => {
    made += 1
    const own = caller * ROWS_PER_CALLER + (made % ROWS_PER_CALLER)
    const side = caller % 2
    await concordat.transaction({ timeoutMs: 60_000 }, async (tx) => {
      await take(tx, databases[side]!, job.hot ? HOT_ROWS[side]! : own)
      await take(tx, databases[1 - side]!, own)
    })
  })
}

async function breakMany({ databases: [left, right], on }: Application, count: number): Promise<Stretch> {
  const samples = new Samples()
  const begun = performance.now()
  for (let round = 0; round < count; round++) samples.add(await breakOne(on, left, right, round % ROWS_PER_CALLER))
  return samples.stretch(performance.now() - begun)
}

async function breakOne(
  concordat: Application['on'],
  left: Application['databases'][0],
  right: Application['databases'][1],
  id: number,
): Promise<number> {
  let here = 0
  let open = (): void => {}
  const both = new Promise<void>((resolve) => {
    open = resolve
  })
  let closedMs = 0
  const half = (first: typeof left, second: typeof right): Promise<number> =>
    concordat
      .transaction({ timeoutMs: 60_000 }, async (tx) => {
        await take(tx, first, id)
        here += 1
        if (here === 2) open()
        await both
        closedMs = performance.now()
        await take(tx, second, id)
      })
      .then(
        () => 0,
        (error: { reason?: unknown }) => {
          if (error.reason !== 'deadlock') throw error
          return performance.now() - closedMs
        },
      )
  const [one, other] = await Promise.all([half(left, right), half(right, left)])
  if ((one === 0) === (other === 0)) throw new Error('a deadlock of two has one victim')
  return Math.max(one, other)
}

async function close(): Promise<void> {
  if (application === undefined) return
  await Promise.all([application.on.close(), application.off.close()])
  await Promise.all(application.pools.map((pool) => pool.end()))
}

serveJobs<DeadlocksJob, Stretch | undefined>(async (job) => {
  if (job.kind === 'open') application = await open(job)
  else if (job.kind === 'run') return run(application!, job)
  else if (job.kind === 'break') return breakMany(application!, job.count)
  else await close()
  return undefined
})
