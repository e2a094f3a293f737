import { RECORD_BYTES, reached } from './decisions.ts'
import type { DecisionsJob } from './decisions-load.ts'
import { CLUSTER, Coordinators } from './lib/coordinators.ts'
import { ms, progress, type Report, type Run, table } from './lib/report.ts'
import type { Rate } from './lib/samples.ts'
import { Worker } from './lib/worker.ts'

const CALLERS = 4
/** The default: a follower campaigns after a silence of once to twice this time. */
const ELECTION_TIMEOUT_MS = 300
const MEDIAN_TIMEOUTS_MAX = 1.5
const MAX_TIMEOUTS_MAX = 3
/** Load before each kill, so that the leader dies in the midst of work. */
const BEFORE_MS = 200
/** Requests are made for so long, and once more by each caller: so some are made after the kill, however long it takes. */
const LOAD_MS = 1_000

/** How long nothing is decided after kill -9 of the leader: from the signal to the first answer to a request made after it. */
export async function benchFailover(run: Run): Promise<Report> {
  progress(`failover: ${run.kills} kills of the leader under load`)
  const coordinators = await Coordinators.start(run.directory, run.profile)
  const load = new Worker<DecisionsJob, Rate | Float64Array>('decisions-load.ts', run.profile)
  const outages: number[] = []
  try {
    await load.run({ kind: 'connect', cluster: CLUSTER, addresses: coordinators.addresses, recordBytes: RECORD_BYTES })
    for (let kill = 1; kill <= run.kills; kill++) {
      await coordinators.whole()
      const { node } = await coordinators.leader()
      const killedMs = new Promise<number>((resolve) => {
        setTimeout(() => {
          const now = Date.now()
          void coordinators.kill(node).then(() => resolve(now))
        }, BEFORE_MS)
      })
      const job = { kind: 'outage', callers: CALLERS, forMs: LOAD_MS } as const
      const [killed, answers] = await Promise.all([killedMs, load.run(job) as Promise<Float64Array>])
      outages.push(firstAnswerAfter(killed, answers) - killed)
      coordinators.run(node)
      if (kill % 20 === 0) progress(`failover: ${kill} of ${run.kills}`)
    }
    return report(outages)
  } finally {
    await load.stop()
    await coordinators.stop()
  }
}

/** When the first request that was made after `killedMs` was answered. `answers`: pairs of asked and answered. */
function firstAnswerAfter(killedMs: number, answers: Float64Array): number {
  let first = Infinity
  for (let at = 0; at < answers.length; at += 2) {
    if (answers[at]! > killedMs) first = Math.min(first, answers[at + 1]!)
  }
  return first
}

function report(outages: readonly number[]): Report {
  const sorted = outages.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
  const figures = { p50Ms: at(0.5), p90Ms: at(0.9), p99Ms: at(0.99), maxMs: at(1) }
  const cell = (value: number): string => `${ms(value)} (${(value / ELECTION_TIMEOUT_MS).toFixed(2)})`
  const head = ['kills', 'p50', 'p90', 'p99', 'max']
  const cells = [figures.p50Ms, figures.p90Ms, figures.p99Ms, figures.maxMs].map(cell)
  const notes = [
    `In brackets: election timeouts of ${ELECTION_TIMEOUT_MS} ms.`,
    `Mark: median at most ${MEDIAN_TIMEOUTS_MAX} election timeouts: ${reached(figures.p50Ms <= MEDIAN_TIMEOUTS_MAX * ELECTION_TIMEOUT_MS)}.`,
    `Mark: maximum below ${MAX_TIMEOUTS_MAX} election timeouts: ${reached(figures.maxMs < MAX_TIMEOUTS_MAX * ELECTION_TIMEOUT_MS)}.`,
  ]
  return {
    text: `${table(head, [[String(outages.length), ...cells]])}\n\n${notes.map((note) => `- ${note}`).join('\n')}`,
    figures: { electionTimeoutMs: ELECTION_TIMEOUT_MS, ...figures, outages },
  }
}
