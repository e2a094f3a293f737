import { type FailpointName, parseTxid } from '../../base/index.ts'
import type { FaultContext } from '../faults/context.ts'
import { addMember, transfer } from '../faults/operator-faults.ts'
import type { FleetOptions } from '../fleet/fleet.ts'
import type { WorkloadSize } from '../kernel/types.ts'

/** A short life of a fleet in which certain points are reached. */
export interface Scenario {
  readonly workload: 'bank' | 'raw'
  readonly size?: Partial<WorkloadSize>
  readonly tuning?: FleetOptions['tuning']
  readonly coordination?: FleetOptions['coordination']
  /** Nobody dies before; the first election is over then, unless it is what matters. */
  readonly fromMs?: number
  /** Happens at these times, so that the points are reached. */
  readonly cues?: readonly { readonly atMs: number; readonly act: (context: FaultContext) => void }[]
  /** An application dies for some seconds when it comes to this point: it leaves work for others. */
  readonly precededBy?: FailpointName
}

const SEEN = parseTxid('01890a5d-ac96-774b-bcce-b302099a8057')

const RAW: Scenario = { workload: 'raw' }
const BANK: Scenario = { workload: 'bank' }
const SNAPSHOTS: Scenario = {
  workload: 'raw',
  tuning: { snapshotEntries: 10, snapshotBytes: 2_048, tailEntries: 0, tailBytes: 0, snapshotChunkBytes: 256 },
}
/** One follower is away for so long that the log behind it is cut. */
const LAGGARD: Scenario = { ...SNAPSHOTS, cues: [{ atMs: 500, act: (context) => away(context, 1_000) }] }
const LONG_LOG: Scenario = {
  ...SNAPSHOTS,
  size: { transactions: 400 },
  tuning: { ...SNAPSHOTS.tuning, segmentBytesMax: 16_384 },
}
const CHANGE: Scenario = {
  ...RAW,
  cues: [{ atMs: 700, act: (context) => addMember(context, { kind: 'addMember', forced: false, forMs: 3_000 }) }],
}
const RESTARTED: Scenario = { ...SNAPSHOTS, cues: [{ atMs: 900, act: (context) => away(context, 20) }] }

/** Which scenario reaches a point: the first whose beginning fits. */
const SCENARIOS: readonly (readonly [beginning: string, scenario: Scenario])[] = [
  ['coordinator.prepare', RAW],
  ['coordinator.vote', RAW],
  ['coordinator.decision', RAW],
  ['coordinator.inquiry', RAW],
  ['coordinator.aborted', RAW],
  ['coordinator.ack', RAW],
  [
    'coordinator.watermark',
    { ...RAW, coordination: { keepMs: 100, keepCount: 0, fenceMs: 400, watermarkPeriodMs: 100 } },
  ],
  ['coordinator.heuristic', { ...BANK, size: { meddlings: 400 } }],
  ['coordinator.operator', { ...RAW, cues: every(100, 600, order) }],
  ['coordinator.leading', { ...RAW, cues: [{ atMs: 900, act: (context) => killLeader(context) }] }],
  ['coordinator.resolver', { ...BANK, precededBy: 'client.commit.sent' }],
  ['coordinator', BANK],
  ['raft.configuration', CHANGE],
  [
    'raft.transfer',
    { ...RAW, cues: every(200, 700, (context) => transfer(context, { kind: 'transfer', to: undefined })) },
  ],
  ['raft.request-vote', { ...RAW, fromMs: 0 }],
  ['raft.vote', { ...RAW, fromMs: 0 }],
  ['raft.start', RESTARTED],
  ['raft.snapshot-', LAGGARD],
  ['raft.install', LAGGARD],
  ['raft.snapshot', SNAPSHOTS],
  ['raft.compaction', SNAPSHOTS],
  ['raft', RAW],
  ['wal.segment', LONG_LOG],
  ['wal.removal', LONG_LOG],
  ['wal', RAW],
  ['database.rollback', { ...BANK, precededBy: 'client.prepare.voted' }],
  ['database.evidence', { ...BANK, precededBy: 'database.commit.answered' }],
  ['database', BANK],
  ['client', BANK],
]

/** Undefined: no scenario has such a process; those of participants die in tests of their own. */
export function scenarioOf(name: FailpointName): Scenario | undefined {
  return SCENARIOS.find(([beginning]) => name.startsWith(beginning))?.[1]
}

function every(periodMs: number, fromMs: number, act: (context: FaultContext) => void): NonNullable<Scenario['cues']> {
  return Array.from({ length: 20 }, (_, index) => ({ atMs: fromMs + index * periodMs, act }))
}

/** A follower is stopped, and started again. */
function away(context: FaultContext, downMs: number): void {
  const { leader, nodes } = context.fleet
  const follower = nodes.find((node) => node !== leader && node.process !== undefined)
  follower?.crash('power')
  context.world.after(downMs, () => follower?.start())
}

function killLeader({ fleet, world }: FaultContext): void {
  const { leader } = fleet
  leader?.crash('killed')
  world.after(300, () => leader?.start())
}

/** An operator notes that he has seen what nobody needs to see: a record that changes nothing. */
function order({ fleet, world }: FaultContext): void {
  const { process, server } = fleet.leader ?? {}
  if (process === undefined || server === undefined) return
  const record = { kind: 'acknowledged', txid: SEEN, by: 'operator', reason: 'seen', atMs: 0 } as const
  world.dispatch(process, () => server.coordinator.record(record, () => {}))
}
