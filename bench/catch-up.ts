import { RECORD_BYTES, reached } from './decisions.ts'
import type { DecisionsJob } from './decisions-load.ts'
import { CLUSTER, Coordinators } from './lib/coordinators.ts'
import { count, ms, progress, type Report, type Run, table, times } from './lib/report.ts'
import type { Rate } from './lib/samples.ts'
import { Worker } from './lib/worker.ts'

const CALLERS = 64
/** So much must be missed that the follower needs a snapshot and not only entries. */
const MISSED_SECONDS = 15
const SHARE_MIN = 0.8

/**
 * Whether a follower that catches up slows the others down: the throughput of three coordinators in step, and while the
 * third takes in what it missed. The stretches alternate, so that what else the machine does is shared.
 */
export async function benchCatchUp(run: Run): Promise<Report> {
  progress('catch-up: a follower is away under load, comes back, and catches up under load')
  const coordinators = await Coordinators.start(run.directory, run.profile)
  const load = new Worker<DecisionsJob, Rate>('decisions-load.ts', run.profile)
  try {
    await load.run({ kind: 'connect', cluster: CLUSTER, addresses: coordinators.addresses, recordBytes: RECORD_BYTES })
    await load.run({ kind: 'run', callers: CALLERS, seconds: 1 })
    const lines: Line[] = []
    for (let round = 1; round <= 3; round++) {
      const inStep = await load.run({ kind: 'run', callers: CALLERS, seconds: run.seconds })
      const { members, node: leader } = await coordinators.leader()
      const away = members.find(({ node }) => node !== leader)!.node
      await coordinators.kill(away)
      const alone = await load.run({ kind: 'run', callers: CALLERS, seconds: MISSED_SECONDS })
      coordinators.run(away)
      // The stretch begins with the process's start and ends when it has caught up.
      const begun = performance.now()
      const caughtUp = coordinators.whole().then(() => performance.now() - begun)
      const meanwhile = await load.run({ kind: 'run', callers: CALLERS, seconds: run.seconds })
      lines.push({ inStep, alone, meanwhile, tookMs: await caughtUp })
    }
    return report(lines)
  } finally {
    await load.stop()
    await coordinators.stop()
  }
}

interface Line {
  readonly inStep: Rate
  readonly alone: Rate
  readonly meanwhile: Rate
  /** From the start of the follower's process until it lacks nothing, which under load it may reach only when the load ends. */
  readonly tookMs: number
}

function report(lines: readonly Line[]): Report {
  const head = ['round', 'in step', 'p99', 'two alone', 'while it catches up', 'p99', 'share', 'caught up after']
  const rows = lines.map(({ inStep, alone, meanwhile, tookMs }, index) => [
    String(index + 1),
    count(inStep.perSecond),
    ms(inStep.p99Ms),
    count(alone.perSecond),
    count(meanwhile.perSecond),
    ms(meanwhile.p99Ms),
    times(meanwhile.perSecond / inStep.perSecond),
    ms(tookMs),
  ])
  const shares = lines.map(({ inStep, meanwhile }) => meanwhile.perSecond / inStep.perSecond).toSorted((a, b) => a - b)
  const share = shares[Math.floor(shares.length / 2)]!
  return {
    text: `${table(head, rows)}\n\n- Mark: throughput falls by no more than a fifth (median ${times(share)}): ${reached(share >= SHARE_MIN)}.`,
    figures: { callers: CALLERS, lines, share },
  }
}
