import postgresJs from 'postgres'
import type * as localdb from '../src/localdb/index.ts'
import { type DeadlocksJob, HOT_ROWS, ROWS_PER_CALLER } from './deadlocks-load.ts'
import { reached } from './decisions.ts'
import { built } from './lib/built.ts'
import { Coordinators } from './lib/coordinators.ts'
import { count, ms, progress, type Report, type Run, table } from './lib/report.ts'
import { type Rate, Samples, type Stretch } from './lib/samples.ts'
import { Worker } from './lib/worker.ts'

const CALLERS = 32
const WARM_UP_SECONDS = 1
/** Each figure is gathered in so many slices, with detection and without in turn: what else the machine does is shared. */
const SLICES = 20
const DEADLOCKS = 50
/** What the detector may cost, as a share of the throughput. */
const COST_MAX = 0.02

type Load = Worker<DeadlocksJob, Stretch>

interface Line {
  readonly hot: boolean
  readonly on: Rate
  readonly off: Rate
  /** Of each pair of slices: throughput with detection by that without. */
  readonly ratios: readonly number[]
}

/** What deadlock detection costs, and how soon a deadlock over two databases ends. */
export async function benchDeadlocks(run: Run): Promise<Report> {
  progress('deadlocks: starting two PostgreSQL servers and three coordinators')
  const { LocalServers } = await built<typeof localdb>('localdb')
  const servers = new LocalServers()
  try {
    return await benchOn(servers, run)
  } finally {
    await servers.close()
  }
}

async function benchOn(servers: localdb.LocalServers, run: Run): Promise<Report> {
  const settings = { max_prepared_transactions: String(4 * CALLERS) }
  const [left, right] = await Promise.all([servers.startPostgres({ settings }), servers.startPostgres({ settings })])
  const urls = [left.url(), right.url()] as const
  await Promise.all(urls.map(openAccounts))
  const resources = urls.map((url, index) => ({ name: ['left', 'right'][index], kind: 'postgres', url }))
  const coordinators = await Coordinators.start(run.directory, run.profile, { config: { resources } })
  const load: Load = new Worker('deadlocks-load.ts', run.profile)
  try {
    await load.run({ kind: 'open', coordinators: coordinators.addresses, urls, sessions: 2 * CALLERS })
    const lines = [await measure(load, false, run.seconds), await measure(load, true, run.seconds)]
    progress(`deadlocks: ${DEADLOCKS} of them`)
    const broken = new Samples()
    broken.merge(await load.run({ kind: 'break', count: DEADLOCKS }))
    await load.run({ kind: 'close' })
    return report(lines, broken.rate(2))
  } finally {
    await load.stop()
    await coordinators.stop()
  }
}

async function measure(load: Load, hot: boolean, seconds: number): Promise<Line> {
  progress(`deadlocks: ${CALLERS} callers, ${hot ? 'queueing for two rows' : 'nobody waits'}`)
  const samples = { on: new Samples(), off: new Samples() }
  const ratios: number[] = []
  const job = { kind: 'run', hot, callers: CALLERS } as const
  await load.run({ ...job, detection: true, seconds: WARM_UP_SECONDS })
  for (let slice = 0; slice < SLICES; slice++) {
    const rates = { on: 0, off: 0 }
    // Each goes first every other time.
    for (const way of slice % 2 === 0 ? (['on', 'off'] as const) : (['off', 'on'] as const)) {
      const stretch = await load.run({ ...job, detection: way === 'on', seconds: seconds / SLICES })
      samples[way].merge(stretch)
      rates[way] = stretch.latencies.length / stretch.elapsedMs
    }
    ratios.push(rates.on / rates.off)
  }
  return { hot, on: samples.on.rate(CALLERS), off: samples.off.rate(CALLERS), ratios: ratios.sort((a, b) => a - b) }
}

async function openAccounts(url: string): Promise<void> {
  const sql = postgresJs(url, { max: 1, onnotice: () => {} })
  await sql`create table accounts (id int primary key, balance bigint not null)`
  await sql`insert into accounts select id, 0 from generate_series(0, ${CALLERS * ROWS_PER_CALLER}::int) id`
  for (const id of HOT_ROWS) await sql`insert into accounts values (${id}, 0)`
  await sql`vacuum analyze accounts`
  await sql.end()
}

function report(lines: readonly Line[], broken: Rate): Report {
  const head = [
    'load',
    'with, per second',
    'p50',
    'p99',
    'without',
    'p50',
    'p99',
    'ratio',
    'median of pairs',
    'quartiles',
  ]
  const rows = lines.map(({ hot, on, off, ratios }) => [
    hot ? 'two rows for all' : 'nobody waits',
    ...[on, off].flatMap(({ perSecond, p50Ms, p99Ms }) => [count(perSecond), ms(p50Ms), ms(p99Ms)]),
    (on.perSecond / off.perSecond).toFixed(3),
    at(ratios, 0.5).toFixed(3),
    `${at(ratios, 0.25).toFixed(3)} to ${at(ratios, 0.75).toFixed(3)}`,
  ])
  const marks = lines.map(({ hot, on, off }) => {
    const isReached = on.perSecond >= (1 - COST_MAX) * off.perSecond
    return `- Mark: less than 2 % of the throughput, ${hot ? 'two rows for all' : 'nobody waits'}: ${reached(isReached)}.`
  })
  const times = `- From the statement that closes a circle to its victim's error, over ${DEADLOCKS} deadlocks: p50 ${ms(broken.p50Ms)}, p99 ${ms(broken.p99Ms)}.`
  const within = `- Mark: p99 within a second: ${reached(broken.p99Ms < 1_000)}.`
  return { text: [table(head, rows), '', times, ...marks, within].join('\n'), figures: { lines, broken } }
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.floor((sorted.length - 1) * share)] ?? 0
}
