import type { Overrides } from '../faults/overrides.ts'
import type { Profile } from '../faults/plan.ts'
import type { PlainReport } from './plain-report.ts'
import type { WorkerAnswer } from './worker.ts'
import { WorkerPool } from './worker-pool.ts'

export interface CampaignOptions {
  readonly from: number
  /** Seeds at most. */
  readonly seeds: number
  /** Real time at most. */
  readonly minutes: number
  readonly jobs: number | undefined
  /** Stops after so many failing seeds: more of them say little more. */
  readonly failuresMax: number
  readonly overrides: Overrides
  /** True: begin no more runs. */
  readonly stopped: () => boolean
  readonly onProgress: (state: CampaignState) => void
}

/** What a campaign has come to so far. */
export interface CampaignState {
  readonly runs: number
  readonly simulatedMs: number
  readonly steps: number
  readonly realMs: number
  readonly marks: ReadonlyMap<string, number>
  readonly tally: ReadonlyMap<string, number>
  readonly failures: readonly PlainReport[]
  readonly fatals: ReadonlyMap<string, number>
}

/** Runs many seeds on all cores. */
export async function runCampaign(options: CampaignOptions): Promise<CampaignState> {
  const state = new Totals()
  const pool = new WorkerPool(options.jobs)
  let nextSeed = options.from
  const next = () => {
    const over =
      options.stopped() ||
      nextSeed >= options.from + options.seeds ||
      state.failures.length >= options.failuresMax ||
      state.realMs >= options.minutes * 60_000
    if (over) return undefined
    const seed = nextSeed++
    return { seed, overrides: { ...options.overrides, profile: options.overrides.profile ?? profileOf(seed) } }
  }
  try {
    await pool.run(next, (answer) => {
      state.add(answer)
      options.onProgress(state)
    })
  } finally {
    pool.close()
  }
  return state
}

/** Every fourth run of a campaign that names none is about participants. */
function profileOf(seed: number): Profile {
  return seed % 4 === 0 ? 'participants' : 'databases'
}

class Totals implements CampaignState {
  runs = 0
  simulatedMs = 0
  steps = 0
  readonly marks = new Map<string, number>()
  readonly tally = new Map<string, number>()
  readonly fatals = new Map<string, number>()
  readonly failures: PlainReport[] = []
  readonly #startedMs = performance.now()

  get realMs(): number {
    return performance.now() - this.#startedMs
  }

  add(answer: WorkerAnswer): void {
    if (answer.kind === 'broken') throw new Error(`the simulator itself failed at seed ${answer.seed}: ${answer.error}`)
    const { report } = answer
    this.runs++
    this.simulatedMs += report.simulatedMs
    this.steps += report.steps
    for (const [name, count] of Object.entries(report.marks)) count > 0 && addTo(this.marks, name, count)
    for (const [name, count] of Object.entries(report.tally)) addTo(this.tally, name, count)
    for (const { code } of report.fatals) addTo(this.fatals, code, 1)
    if (report.failure !== undefined) this.failures.push(report)
  }
}

function addTo(counts: Map<string, number>, name: string, count: number): void {
  counts.set(name, (counts.get(name) ?? 0) + count)
}
