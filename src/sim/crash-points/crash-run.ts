import { armFailpoints, type FailpointName } from '../../base/index.ts'
import { isExcused } from '../checks/fatal-errors.ts'
import { FaultContext } from '../faults/context.ts'
import { SimFleet } from '../fleet/fleet.ts'
import type { Workload, WorkloadSize } from '../kernel/types.ts'
import { type Failure, type Note, SimWorld } from '../kernel/world.ts'
import { BankWorkload, RawWorkload } from '../workload/index.ts'
import { Executioner } from './executioner.ts'
import { RowCheck } from './row-check.ts'
import type { Scenario } from './scenarios.ts'
import type { Way } from './ways.ts'

/** What one row of the table came to in one way. */
export interface CrashReport {
  readonly failure: Failure | undefined
  /** Who died at the point, and when; undefined when nobody reached it. */
  readonly died: { readonly who: string; readonly atMs: number; readonly txid: string | undefined } | undefined
  /** In the way `again`: where the second crash was. */
  readonly diedAgain: string | undefined
  readonly simulatedMs: number
  readonly steps: number
  readonly hash: string
}

export interface CrashRun {
  readonly point: FailpointName
  readonly way: Way
  readonly scenario: Scenario
  readonly seed: number
  readonly onNote?: ((note: Note) => void) | undefined
}

/** Whoever is to die has died by then, or the row is not reached. */
const REACHED_MS = 8_000
/** Load goes on for so long after the crash. */
const AFTERMATH_MS = 200
/** How soon after the crash all must be at rest. */
const REST_MS = 30_000
const LOOK_MS = 50

const SIZE: WorkloadSize = { applications: 2, transactions: 60, durationMs: 3_000, calm: true }

/** One row in one way: a crash at the point, and then all must be at rest, as the row requires. */
export async function crashAt({ point, way, scenario, seed, onNote }: CrashRun): Promise<CrashReport> {
  const world = new SimWorld({ seed, onNote })
  const fleet = new SimFleet(world, {
    nodes: 3,
    tuning: { heartbeatMs: 50, electionTimeoutMs: 300, segmentBytesMax: 32 * 1024, ...scenario.tuning },
    protocolMinor: 1,
    coordination: { batchBytesMax: 8 * 1024, completedBatchMax: 10, completedDelayMs: 50, ...scenario.coordination },
    resolver: { scanMs: 200, graceMs: 200 },
  })
  const size = { ...SIZE, ...scenario.size }
  const workload =
    scenario.workload === 'bank' ? new BankWorkload(world, fleet, size) : new RawWorkload(world, fleet, size)
  const context = new FaultContext(world, fleet, workload.victims)
  const row = new RowCheck({ point, way, world, fleet, oracle: workload.oracle })
  const executioner = new Executioner({ point, way, scenario, context, row, othersAreDone: () => row.othersAreDone() })
  fleet.excuses = (node, error) => isExcused(node, error, context.atlas)
  world.onStep = (owner) => {
    if (owner !== undefined) fleet.checkStep(owner)
    workload.checkStep()
  }
  workload.start()
  fleet.start(workload)
  for (const { atMs, act } of scenario.cues ?? []) {
    world.after(atMs, () => {
      if (!context.healed) act(context)
    })
  }
  executioner.onCrash = () => {
    world.after(AFTERMATH_MS, () => {
      context.healed = true
      workload.stopLoad()
    })
    rest(world, fleet, workload, executioner, row)
  }
  world.after(REACHED_MS, () => {
    const isReached = way === 'again' ? executioner.diedAgain : executioner.died
    if (isReached === undefined) world.stop()
  })
  const { disarm } = armFailpoints((hit) => executioner.reached(hit))
  try {
    await world.run(Number.POSITIVE_INFINITY)
  } finally {
    disarm()
  }
  const { died, diedAgain } = executioner
  return {
    failure: world.failure,
    died,
    diedAgain,
    simulatedMs: world.nowMs,
    steps: world.steps,
    hash: world.hash.digest,
  }
}

function rest(world: SimWorld, fleet: SimFleet, workload: Workload, executioner: Executioner, row: RowCheck): void {
  const boundMs = world.nowMs + REST_MS
  const look = (): void => {
    const reasons = executioner.isOver ? [...fleet.unsettled(), ...workload.unsettled()] : ['not everybody is back']
    if (reasons.length === 0) {
      workload.checkEnd()
      row.check()
      world.stop()
    } else if (world.nowMs < boundMs) world.after(LOOK_MS, look)
    else world.fail('liveness', `so long after the crash: ${reasons.join('; ')}`)
  }
  world.after(AFTERMATH_MS + LOOK_MS, look)
}
