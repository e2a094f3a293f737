import { isExcused } from '../checks/fatal-errors.ts'
import { DecisionsWorkload } from '../decisions/decisions-workload.ts'
import { FaultContext } from '../faults/context.ts'
import { Injector } from '../faults/injector.ts'
import type { Plan } from '../faults/plan.ts'
import { SimFleet } from '../fleet/fleet.ts'
import type { MakeWorkload, Workload } from '../kernel/types.ts'
import { type Failure, type Note, SimWorld } from '../kernel/world.ts'
import { BankWorkload, MixedWorkload, RawWorkload } from '../workload/index.ts'

/** What a run came to. */
export interface RunReport {
  readonly seed: number
  readonly failure: Failure | undefined
  /** Equal for two runs that did the same. */
  readonly hash: string
  readonly simulatedMs: number
  readonly steps: number
  readonly marks: ReadonlyMap<string, number>
  readonly tally: Readonly<Record<string, number>>
  readonly fatals: readonly { readonly node: string; readonly code: string; readonly atMs: number }[]
}

export interface RunOptions {
  readonly onNote?: ((note: Note) => void) | undefined
  readonly makeWorkload?: MakeWorkload | undefined
}

const WORKLOADS: Record<Plan['workload']['kind'], MakeWorkload> = {
  decisions: (...parts) => new DecisionsWorkload(...parts),
  mixed: (...parts) => new MixedWorkload(...parts),
  bank: (...parts) => new BankWorkload(...parts),
  raw: (...parts) => new RawWorkload(...parts),
}

/** How often the world is asked whether it has come to rest. */
const LOOK_MS = 250

/**
 * One run: safety while faults happen, then everything is healed, and within a bound of time all must be at rest:
 * everything decided, every lock free, all ledgers equal.
 */
export async function simulate(plan: Plan, options: RunOptions = {}): Promise<RunReport> {
  const world = new SimWorld({ seed: plan.seed, onNote: options.onNote })
  const fleet = new SimFleet(world, plan.fleet)
  const makeWorkload = options.makeWorkload ?? WORKLOADS[plan.workload.kind]
  const workload = makeWorkload(world, fleet, plan.workload)
  const context = new FaultContext(world, fleet, workload.victims)
  const injector = new Injector(context, plan.faults)
  fleet.excuses = (node, error) => isExcused(node, error, context.atlas)
  world.onStep = (owner) => {
    if (owner !== undefined) fleet.checkStep(owner)
    workload.checkStep()
  }
  workload.start()
  fleet.start(workload)
  injector.start()
  world.after(plan.faultsMs, () => {
    world.note('WORLD', 'all faults end; everything must come to rest')
    injector.heal()
    workload.stopLoad()
    rest(world, fleet, workload, world.nowMs + plan.livenessMs)
  })
  await world.run(Number.POSITIVE_INFINITY)
  return {
    seed: plan.seed,
    failure: world.failure,
    hash: world.hash.digest,
    simulatedMs: world.nowMs,
    steps: world.steps,
    marks: world.marks,
    tally: workload.tally(),
    fatals: fleet.fatals,
  }
}

/** Looks again and again whether all is at rest; then come the last checks, and the run is over. */
function rest(world: SimWorld, fleet: SimFleet, workload: Workload, boundMs: number): void {
  world.after(LOOK_MS, () => {
    const reasons = [...fleet.unsettled(), ...workload.unsettled()]
    if (reasons.length === 0) {
      workload.checkEnd()
      world.stop()
    } else if (world.nowMs < boundMs) rest(world, fleet, workload, boundMs)
    else world.fail('liveness', `so long after all faults ended: ${reasons.join('; ')}`)
  })
}
