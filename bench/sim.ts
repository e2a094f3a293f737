import { planOf } from '../src/sim/faults/plan.ts'
import { simulate } from '../src/sim/run/simulation.ts'
import { reached } from './decisions.ts'
import { count, progress, type Report, type Run, table, times } from './lib/report.ts'

const SPEED_MIN = 100
const WARM_UP_RUNS = 10
/** More seconds are measured than the other benchmarks take: one run alone says little. */
const SECONDS_FACTOR = 6

/** How much simulated time of three whole nodes under load, and under faults, one core gets through in a second. */
export async function benchSim(run: Run): Promise<Report> {
  progress('sim: three simulated nodes with their applications, databases and faults, on one core')
  const seeds = seedsOfThree()
  for (let i = 0; i < WARM_UP_RUNS; i++) await simulate(planOf(seeds.next().value!))
  const begun = performance.now()
  const total = { runs: 0, simulatedMs: 0, steps: 0, transactions: 0 }
  while (performance.now() - begun < run.seconds * SECONDS_FACTOR * 1000) {
    const { simulatedMs, steps, tally, failure } = await simulate(planOf(seeds.next().value!))
    if (failure !== undefined)
      throw new Error(`a run failed (${failure.check}: ${failure.what}): speed means nothing now`)
    total.runs++
    total.simulatedMs += simulatedMs
    total.steps += steps
    total.transactions += (tally.committed ?? 0) + (tally.aborted ?? 0)
  }
  const realMs = performance.now() - begun
  const speed = total.simulatedMs / realMs
  const perSecond = (value: number): string => count((value / realMs) * 1000)
  const head = ['runs', 'simulated', 'real', 'times as fast', 'transactions a real second', 'steps a real second']
  const cells = [
    count(total.runs),
    `${count(total.simulatedMs / 1000)} s`,
    `${count(realMs / 1000)} s`,
    times(speed),
    perSecond(total.transactions),
    perSecond(total.steps),
  ]
  return {
    text: `${table(head, [cells])}\n\n- Mark: at least ${SPEED_MIN} cluster-seconds a second: ${reached(speed >= SPEED_MIN)}.`,
    figures: { ...total, realMs, speed },
  }
}

function* seedsOfThree(): Generator<number, never> {
  for (let seed = 1; ; seed++) if (planOf(seed).fleet.nodes === 3) yield seed
}
