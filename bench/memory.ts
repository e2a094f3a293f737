import { RECORD_BYTES, reached } from './decisions.ts'
import type { DecisionsJob } from './decisions-load.ts'
import { CLUSTER, Coordinators } from './lib/coordinators.ts'
import { count, progress, type Report, type Run, table } from './lib/report.ts'
import type { Rate } from './lib/samples.ts'
import { Worker } from './lib/worker.ts'

const CALLERS = 256
const MIB = 2 ** 20
const RESIDENT_MIB_MAX = 300

/** What a coordinator holds in memory and on disk after a million transactions. */
export async function benchMemory(run: Run): Promise<Report> {
  progress(`memory: ${count(run.transactions)} transactions through three coordinators`)
  const coordinators = await Coordinators.start(run.directory, run.profile)
  const load = new Worker<DecisionsJob, Rate>('decisions-load.ts', run.profile)
  try {
    await load.run({ kind: 'connect', cluster: CLUSTER, addresses: coordinators.addresses, recordBytes: RECORD_BYTES })
    const rate = await load.run({ kind: 'run', callers: CALLERS, seconds: Infinity, transactions: run.transactions })
    // The followers apply the last entries, and the last ACKs become records.
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    const nodes = (await coordinators.status()).map((status) => ({
      node: status.node,
      role: status.role,
      committed: status.transactions.committed,
      finished: status.transactions.finished,
      residentMib: status.residentBytes / MIB,
      logMib: status.log.bytesOnDisk / MIB,
    }))
    return report(run.transactions, rate, nodes)
  } finally {
    await load.stop()
    await coordinators.stop()
  }
}

interface NodeFigures {
  readonly node: number
  readonly role: string
  readonly committed: number
  readonly finished: number
  readonly residentMib: number
  readonly logMib: number
}

function report(transactions: number, rate: Rate, nodes: readonly NodeFigures[]): Report {
  const head = ['coordinator', 'committed', 'remembered', 'resident', 'log on disk']
  const rows = nodes.map(({ node, role, committed, finished, residentMib, logMib }) => [
    `${node} (${role})`,
    count(committed),
    count(finished),
    `${count(residentMib)} MiB`,
    `${count(logMib)} MiB`,
  ])
  const isReached = nodes.every(({ residentMib }) => residentMib < RESIDENT_MIB_MAX)
  const notes = [
    `${count(transactions)} transactions of ${RECORD_BYTES} bytes by ${CALLERS} callers: ${count(rate.perSecond)} per second on the whole way.`,
    `Mark: each below ${RESIDENT_MIB_MAX} MB: ${reached(isReached)}.`,
  ]
  return {
    text: `${table(head, rows)}\n\n${notes.map((note) => `- ${note}`).join('\n')}`,
    figures: { transactions, rate, nodes },
  }
}
