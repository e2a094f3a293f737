import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type * as base from '../src/base/index.ts'
import type * as coordinatorTypes from '../src/coordinator/index.ts'
import type * as replicaTypes from '../src/replica/index.ts'
import type * as wal from '../src/wal/index.ts'
import { built } from './lib/built.ts'
import { CLUSTER, Coordinators } from './lib/coordinators.ts'
import { count, ms, progress, type Report, type Run, table } from './lib/report.ts'

const { systemClock, parseClusterId, makeTxid } = await built<typeof base>('base')
const { Coordinator } = await built<typeof coordinatorTypes>('coordinator')
const { Replica } = await built<typeof replicaTypes>('replica')
const { nodeDisk } = await built<typeof wal>('wal')

const MIB = 2 ** 20
const UNDER_WAY_MAX = 1_000
/** More than the log of this benchmark ever holds: no snapshot is taken. */
const NEVER = Number.MAX_SAFE_INTEGER

/** How long a coordinator takes from its start until it serves, after so many transactions, each an entry of its own. */
export async function benchRestart(run: Run): Promise<Report> {
  const lines: Line[] = []
  for (const [name, snapshots] of [
    ['the whole log', false],
    ['newest snapshot and the log behind it', true],
  ] as const) {
    progress(`restart: ${count(run.transactions)} entries, read back from ${name}`)
    const directory = join(run.directory, snapshots ? 'with-snapshots' : 'without')
    await fill(join(directory, 'coordinator-1'), run.transactions, snapshots)
    const begun = performance.now()
    const coordinators = await Coordinators.start(directory, run.profile, { members: 1 })
    try {
      const readyMs = performance.now() - begun
      const [status] = await coordinators.status()
      lines.push({
        name,
        readyMs,
        committed: status!.transactions.committed,
        residentMib: status!.residentBytes / MIB,
        logMib: status!.log.bytesOnDisk / MIB,
      })
    } finally {
      await coordinators.stop()
    }
  }
  return report(run.transactions, lines)
}

interface Line {
  readonly name: string
  readonly readyMs: number
  readonly committed: number
  readonly residentMib: number
  readonly logMib: number
}

/** A data directory as a coordinator leaves it that has committed so many transactions, one after the other. */
async function fill(directory: string, transactions: number, snapshots: boolean): Promise<void> {
  const clusterId = parseClusterId(CLUSTER)
  const nodeId = 1 as base.NodeId
  const quiet = { debug: () => {}, info: () => {}, warn: console.error, error: console.error }
  const log = await Replica.open({
    nodeId,
    clusterId,
    members: [{ nodeId, host: '127.0.0.1', port: 1 }],
    directory,
    disk: nodeDisk,
    clock: systemClock,
    seed: 1,
    options: snapshots ? {} : { snapshotBytes: NEVER, snapshotEntries: NEVER },
    logger: quiet,
    onFatal: (error) => console.error(error),
  })
  // Each record leaves at once, so it is an entry of its own.
  const coordinator = new Coordinator({ log, clusterId, clock: systemClock, seed: 1, schedule: (task) => task() })
  await coordinator.start()
  while (!coordinator.isLeading) await new Promise((resolve) => setTimeout(resolve, 5))
  const branches = ['flights', 'hotels'].map(
    (participant, branch) =>
      ({ branch: branch as base.BranchId, kind: 'local', participant, vote: 'commit', evidence: undefined }) as const,
  )
  const random = randomBytes(10)
  for (let made = 0; made < transactions; made += UNDER_WAY_MAX) {
    const batch = Math.min(UNDER_WAY_MAX, transactions - made)
    await new Promise<void>((resolve, reject) => {
      let left = batch
      for (let i = 0; i < batch; i++) {
        random.writeUInt32BE(made + i, 6)
        const txid = makeTxid(Date.now(), random)
        coordinator.commit({ clusterId, txid, timeoutMs: 60_000, branches }, (reply) => {
          if (reply.kind !== 'outcome') reject(new Error(JSON.stringify(reply)))
          coordinator.ack(txid, [0 as base.BranchId, 1 as base.BranchId])
          if (--left === 0) resolve()
        })
      }
    })
  }
  await coordinator.drain()
  await coordinator.close()
}

function report(transactions: number, lines: readonly Line[]): Report {
  const head = ['read back', 'ready after', 'transactions', 'resident', 'on disk']
  const rows = lines.map(({ name, readyMs, committed, residentMib, logMib }) => [
    name,
    ms(readyMs),
    count(committed),
    `${count(residentMib)} MiB`,
    `${count(logMib)} MiB`,
  ])
  return { text: table(head, rows), figures: { transactions, lines } }
}
