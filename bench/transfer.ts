import postgresJs from 'postgres'
import type * as localdb from '../src/localdb/index.ts'
import { reached } from './decisions.ts'
import { built } from './lib/built.ts'
import { Coordinators } from './lib/coordinators.ts'
import { count, ms, progress, type Report, type Run, table, times } from './lib/report.ts'
import { type Rate, Samples, type Stretch } from './lib/samples.ts'
import { Worker } from './lib/worker.ts'
import { ACCOUNTS_PER_CALLER, type Driver, type TransferJob, type Way } from './transfer-load.ts'

const DRIVERS: readonly Driver[] = ['postgres', 'pg']
const CALLERS = [1, 8, 32]
const CALLERS_MAX = Math.max(...CALLERS)
const WARM_UP_SECONDS = 1
/** Each figure is gathered in so many slices, ours and the floor's in turn: what else the machine does is shared. */
const SLICES = 5

interface Line {
  readonly driver: Driver
  readonly ours: Rate
  readonly floor: Rate
}

type Load = Worker<TransferJob, Stretch>

/** A transfer between two PostgreSQL servers, against the same written by hand with a local log in place of coordinators. */
export async function benchTransfer(run: Run): Promise<Report> {
  progress('transfer: starting two PostgreSQL servers and three coordinators')
  const { LocalServers } = await built<typeof localdb>('localdb')
  const servers = new LocalServers()
  try {
    return await benchOn(servers, run)
  } finally {
    await servers.close()
  }
}

async function benchOn(servers: localdb.LocalServers, run: Run): Promise<Report> {
  const settings = { max_prepared_transactions: String(4 * CALLERS_MAX) }
  const [left, right] = await Promise.all([servers.startPostgres({ settings }), servers.startPostgres({ settings })])
  const urls = [left.url(), right.url()] as const
  await Promise.all(urls.map(openAccounts))
  const coordinators = await Coordinators.start(run.directory, run.profile)
  const load: Load = new Worker('transfer-load.ts', run.profile)
  try {
    const lines: Line[] = []
    for (const driver of DRIVERS) {
      const { directory } = run
      const sessions = CALLERS_MAX
      await load.run({ kind: 'open', coordinators: coordinators.addresses, urls, driver, sessions, directory })
      for (const callers of CALLERS) lines.push(await measure(load, driver, callers, run.seconds))
      await load.run({ kind: 'close' })
    }
    await Promise.all(urls.map(checkNothingPrepared))
    return report(lines)
  } finally {
    await load.stop()
    await coordinators.stop()
  }
}

async function measure(load: Load, driver: Driver, callers: number, seconds: number): Promise<Line> {
  progress(`transfer: ${callers} callers with ${driver}`)
  const ways: readonly Way[] = ['concordat', 'handWritten']
  const samples = { concordat: new Samples(), handWritten: new Samples() }
  for (const way of ways) await load.run({ kind: 'run', way, callers, seconds: WARM_UP_SECONDS })
  for (let slice = 0; slice < SLICES; slice++) {
    // Each goes first every other time.
    for (const way of slice % 2 === 0 ? ways : ways.toReversed()) {
      samples[way].merge(await load.run({ kind: 'run', way, callers, seconds: seconds / SLICES }))
    }
  }
  return { driver, ours: samples.concordat.rate(callers), floor: samples.handWritten.rate(callers) }
}

async function openAccounts(url: string): Promise<void> {
  const sql = postgresJs(url, { max: 1, onnotice: () => {} })
  await sql`create table accounts (id int primary key, balance bigint not null)`
  await sql`insert into accounts select id, 1000000 from generate_series(0, ${CALLERS_MAX * ACCOUNTS_PER_CALLER}::int) id`
  await sql`vacuum analyze accounts`
  await sql.end()
}

/** A benchmark that leaves locks behind has measured something else. */
async function checkNothingPrepared(url: string): Promise<void> {
  const sql = postgresJs(url, { max: 1 })
  const [row] = await sql<{ left: number }[]>`select count(*)::int as left from pg_prepared_xacts`
  await sql.end()
  if (row?.left !== 0) throw new Error(`${row?.left} prepared transactions are left in a database`)
}

function report(lines: readonly Line[]): Report {
  const head = [
    'driver',
    'callers',
    'per second',
    'p50',
    'p99',
    'floor per second',
    'floor p50',
    'floor p99',
    'throughput',
    'p50 ratio',
  ]
  const rows = lines.map(({ driver, ours, floor }) => [
    driver,
    String(ours.callers),
    ...cells(ours),
    ...cells(floor),
    times(ours.perSecond / floor.perSecond),
    times(ours.p50Ms / floor.p50Ms),
  ])
  return {
    text: `${table(head, rows)}\n\n${lines.flatMap(marks).join('\n')}`,
    figures: { lines },
  }
}

function cells({ perSecond, p50Ms, p99Ms }: Rate): readonly string[] {
  return [count(perSecond), ms(p50Ms), ms(p99Ms)]
}

function marks({ driver, ours, floor }: Line): readonly string[] {
  if (ours.callers === 1) {
    return [`- Mark: alone at most 1.5 × the floor's p50 with ${driver}: ${reached(ours.p50Ms <= 1.5 * floor.p50Ms)}.`]
  }
  if (ours.callers !== CALLERS_MAX) return []
  const isReached = ours.perSecond >= 0.8 * floor.perSecond
  return [
    `- Mark: with ${CALLERS_MAX} callers at least 0.8 of the floor's throughput with ${driver}: ${reached(isReached)}.`,
  ]
}
