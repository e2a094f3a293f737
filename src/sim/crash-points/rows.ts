import { FAILPOINT_NAMES, FAILPOINTS, type FailpointName } from '../../base/index.ts'
import { type CrashReport, crashAt } from './crash-run.ts'
import { type Scenario, scenarioOf } from './scenarios.ts'
import { type Way, waysOf } from './ways.ts'

/** A point that processes of the simulator reach, in one way. */
export interface SimulatedRow {
  readonly point: FailpointName
  readonly way: Way
  readonly scenario: Scenario
}

/** Every point that is reached in the simulator, in each of its ways. */
export function simulatedRows(): readonly SimulatedRow[] {
  return FAILPOINT_NAMES.flatMap((point) => {
    const scenario = scenarioOf(point)
    return scenario === undefined ? [] : waysOf(FAILPOINTS[point]).map((way) => ({ point, way, scenario }))
  })
}

/** Why this row fails with this seed; undefined when it passes. A row that nobody reaches fails. */
export async function faultOf(row: SimulatedRow, seed: number): Promise<string | undefined> {
  const report = await crashAt({ ...row, seed })
  const fault = explain(row, report)
  return fault === undefined ? undefined : `${row.point}, ${row.way}, seed ${seed}: ${fault}`
}

function explain({ way }: SimulatedRow, { failure, died, diedAgain }: CrashReport): string | undefined {
  if (failure !== undefined) return `${failure.check}: ${failure.what}`
  if (died === undefined) return 'nobody came to this point'
  return way === 'again' && diedAgain === undefined ? `${died.who} did not die again on its way up` : undefined
}
