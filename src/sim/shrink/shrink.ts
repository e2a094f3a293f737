import { durationOf, type Overrides, planWith } from '../faults/overrides.ts'
import { type RunReport, simulate } from '../run/simulation.ts'
import { minimize } from './minimize.ts'

export interface ShrinkOptions {
  /** Runs at most; whatever is smallest by then counts. */
  readonly runsMax: number
  readonly onRun?: (runs: number, overrides: Overrides) => void
}

/** A smaller run that fails in the same way. */
export interface Shrunk {
  readonly overrides: Overrides
  readonly report: RunReport
  readonly runs: number
}

/**
 * Makes a failing run smaller: fewer faults, shorter ones, less load, an earlier end. It counts as the same failure when
 * the same check fails.
 *
 * @returns undefined when `seed` does not fail
 */
export async function shrink(seed: number, options: ShrinkOptions, start: Overrides = {}): Promise<Shrunk | undefined> {
  const first = await simulate(planWith(seed, start))
  if (first.failure === undefined) return undefined
  const search = new Search(seed, first, start, options)
  await search.dropLateFaults()
  await search.dropFaults()
  await search.shrinkLoad()
  await search.dropFaults()
  await search.shortenFaults()
  return search.result
}

class Search {
  readonly #seed: number
  readonly #check: string
  readonly #options: ShrinkOptions
  #best: Overrides
  #report: RunReport
  #runs = 1

  constructor(seed: number, report: RunReport, start: Overrides, options: ShrinkOptions) {
    this.#seed = seed
    this.#check = report.failure!.check
    this.#options = options
    this.#report = report
    const plan = planWith(seed, start)
    this.#best = { ...start, keep: start.keep ?? plan.faults.map(({ id }) => ({ id })) }
  }

  get result(): Shrunk {
    return { overrides: this.#best, report: this.#report, runs: this.#runs }
  }

  /** What comes after the failure has nothing to do with it. */
  async dropLateFaults(): Promise<void> {
    const { atMs } = this.#report.failure!
    const faultsMs = planWith(this.#seed, this.#best).faultsMs
    if (atMs < faultsMs) await this.#try({ ...this.#best, faultsMs: Math.ceil(atMs) })
    const late = new Set(
      planWith(this.#seed, { profile: this.#best.profile })
        .faults.filter((fault) => fault.atMs >= atMs)
        .map(({ id }) => id),
    )
    await this.#try({ ...this.#best, keep: this.#best.keep!.filter(({ id }) => !late.has(id)) })
  }

  async dropFaults(): Promise<void> {
    await minimize(this.#best.keep!, (keep) => this.#try({ ...this.#best, keep }))
  }

  async shrinkLoad(): Promise<void> {
    for (const key of ['transactions', 'applications'] as const) {
      for (;;) {
        const now = planWith(this.#seed, this.#best).workload[key]
        const less = Math.floor(now / 2)
        if (less < 1 || !(await this.#try({ ...this.#best, [key]: less }))) break
      }
    }
  }

  async shortenFaults(): Promise<void> {
    for (const { id } of [...this.#best.keep!]) {
      for (;;) {
        const fault = planWith(this.#seed, this.#best).faults.find((each) => each.id === id)
        const forMs = fault === undefined ? undefined : durationOf(fault)
        if (forMs === undefined || forMs < 20) break
        const shorter = Math.floor(forMs / 2)
        const keep = this.#best.keep!.map((each) => (each.id === id ? { id, forMs: shorter } : each))
        if (!(await this.#try({ ...this.#best, keep }))) break
      }
    }
  }

  async #try(overrides: Overrides): Promise<boolean> {
    if (this.#runs >= this.#options.runsMax) return false
    this.#runs++
    this.#options.onRun?.(this.#runs, overrides)
    const report = await simulate(planWith(this.#seed, overrides))
    if (report.failure?.check !== this.#check) return false
    this.#best = overrides
    this.#report = report
    return true
  }
}
