import type { DecisionsJob } from './decisions-load.ts'
import { CLUSTER, Coordinators } from './lib/coordinators.ts'
import { measureDisk } from './lib/disk.ts'
import { Etcd } from './lib/etcd.ts'
import { count, ms, progress, type Report, type Run, table, times } from './lib/report.ts'
import type { Rate } from './lib/samples.ts'
import { Worker } from './lib/worker.ts'

export const RECORD_BYTES = 256
const CALLERS = [1, 16, 64, 256]
const WARM_UP_SECONDS = 1

/** One line: ours and etcd's under so many callers, measured one right after the other. */
interface Line {
  readonly ours: Rate
  readonly etcd: Rate | undefined
}

/** How many decisions a second three coordinators make durable, and how long one takes; etcd and the bare disk beside it. */
export function benchDecisions(run: Run): Promise<Report> {
  return benchMembers(run, 3)
}

/** The same with five coordinators and five members of etcd. */
export function benchFive(run: Run): Promise<Report> {
  return benchMembers(run, 5)
}

async function benchMembers(run: Run, members: number): Promise<Report> {
  progress(`decisions: starting ${members} coordinators and, if it is there, etcd`)
  const etcd = await Etcd.start(run.directory, members)
  const coordinators = await Coordinators.start(run.directory, run.profile, { members })
  const load = new Worker<DecisionsJob, Rate>('decisions-load.ts', run.profile)
  try {
    await load.run({ kind: 'connect', cluster: CLUSTER, addresses: coordinators.addresses, recordBytes: RECORD_BYTES })
    const before = await measureDisk(run.directory, run.seconds / 2)
    const lines: Line[] = []
    // Ours and etcd's in turn: what else the machine does meanwhile is shared fairly.
    for (const callers of CALLERS) lines.push(await measure(callers, run.seconds, load, etcd))
    const after = await measureDisk(run.directory, run.seconds / 2)
    return report([before, after], lines, typeof etcd === 'string' ? etcd : undefined, members === 3)
  } finally {
    await load.stop()
    await coordinators.stop()
    if (typeof etcd !== 'string') await etcd.stop()
  }
}

async function measure(
  callers: number,
  seconds: number,
  load: Worker<DecisionsJob, Rate>,
  etcd: Etcd | string,
): Promise<Line> {
  progress(`decisions: ${callers} callers`)
  await load.run({ kind: 'run', callers, seconds: WARM_UP_SECONDS })
  const ours = await load.run({ kind: 'run', callers, seconds })
  return { ours, etcd: typeof etcd === 'string' ? undefined : await etcd.run(callers, seconds, RECORD_BYTES) }
}

function report(disk: readonly Rate[], lines: readonly Line[], skipped: string | undefined, hasMarks: boolean): Report {
  const head = [
    'callers',
    'per second',
    'p50',
    'p99',
    'etcd per second',
    'etcd p50',
    'etcd p99',
    'per second against etcd',
  ]
  const rows = lines.map(({ ours, etcd }) => [
    String(ours.callers),
    ...cells(ours),
    ...(etcd === undefined ? ['–', '–', '–', '–'] : [...cells(etcd), times(ours.perSecond / etcd.perSecond)]),
  ])
  const floor = disk.map((rate) => `${count(rate.perSecond)} per second, p50 ${ms(rate.p50Ms)}`).join('; after ')
  const notes = [
    `Floor, one durable 4 KiB write after the other: before ${floor}.`,
    ...(skipped !== undefined ? [`etcd: ${skipped}.`] : hasMarks ? marks(lines) : []),
  ]
  return {
    text: `${table(head, rows)}\n\n${notes.map((note) => `- ${note}`).join('\n')}`,
    figures: { recordBytes: RECORD_BYTES, disk, lines, etcdSkipped: skipped },
  }
}

function cells({ perSecond, p50Ms, p99Ms }: Rate): readonly string[] {
  return [count(perSecond), ms(p50Ms), ms(p99Ms)]
}

function marks(lines: readonly Line[]): readonly string[] {
  return lines.flatMap(({ ours, etcd }) => {
    if (etcd === undefined) return []
    const ratio = ours.perSecond / etcd.perSecond
    if (ours.callers === 1) return [`Mark: p50 of one caller below etcd's: ${reached(ours.p50Ms < etcd.p50Ms)}.`]
    if (ours.callers === 64) return [`Mark: at least 3 × etcd with 64 callers: ${reached(ratio >= 3)}.`]
    if (ours.callers === 256) return [`Mark: at least 5 × etcd with 256 callers: ${reached(ratio >= 5)}.`]
    return []
  })
}

/** How a mark is reported. */
export function reached(isReached: boolean): string {
  return isReached ? 'reached' : '**missed**'
}
