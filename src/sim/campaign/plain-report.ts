import type { Profile } from '../faults/plan.ts'
import type { RunReport } from '../run/simulation.ts'

/** A report that passes between threads and into JSON. */
export interface PlainReport extends Omit<RunReport, 'marks' | 'failure'> {
  readonly profile: Profile
  readonly marks: Readonly<Record<string, number>>
  readonly failure: { readonly check: string; readonly what: string; readonly atMs: number } | undefined
}

export function plainReport({ marks, failure, ...report }: RunReport, profile: Profile = 'databases'): PlainReport {
  return {
    ...report,
    profile,
    marks: Object.fromEntries(marks),
    failure: failure && { check: failure.check, what: failure.what, atMs: failure.atMs },
  }
}
