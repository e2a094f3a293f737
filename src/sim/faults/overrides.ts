import type { Fault } from './fault.ts'
import { type Plan, PROFILES, type Profile, planOf } from './plan.ts'

/** How a run differs from what its seed says: less of everything. What shrinking finds is written this way. */
export interface Overrides {
  /** Undefined: `databases`. */
  readonly profile?: Profile | undefined
  /** The faults that happen, by id; with a duration, a shorter one. Undefined: all. */
  readonly keep?: readonly { readonly id: number; readonly forMs?: number }[] | undefined
  readonly transactions?: number | undefined
  readonly applications?: number | undefined
  /** When the faults end. */
  readonly faultsMs?: number | undefined
}

/** The plan of `seed`, made smaller. */
export function planWith(seed: number, overrides: Overrides = {}): Plan {
  const plan = planOf(seed, overrides.profile)
  const { keep, transactions, applications, faultsMs } = overrides
  const endMs = Math.min(plan.faultsMs, faultsMs ?? plan.faultsMs)
  return {
    ...plan,
    faults: keep === undefined ? plan.faults : keep.flatMap(({ id, forMs }) => kept(plan, id, forMs)),
    faultsMs: endMs,
    workload: {
      ...plan.workload,
      transactions: transactions ?? plan.workload.transactions,
      applications: applications ?? plan.workload.applications,
    },
  }
}

/** The flags that say the same. */
export function formatOverrides({ profile, keep, transactions, applications, faultsMs }: Overrides): string {
  const flags: string[] = []
  if (profile !== undefined && profile !== 'databases') flags.push(`--profile ${profile}`)
  if (keep !== undefined) {
    const ids = keep.map(({ id, forMs }) => (forMs === undefined ? `${id}` : `${id}:${forMs}`))
    flags.push(`--keep ${ids.length === 0 ? 'none' : ids.join(',')}`)
  }
  if (transactions !== undefined) flags.push(`--transactions ${transactions}`)
  if (applications !== undefined) flags.push(`--applications ${applications}`)
  if (faultsMs !== undefined) flags.push(`--until ${faultsMs}`)
  return flags.join(' ')
}

/** Reads what `formatOverrides` wrote for `--profile`. Undefined: it is not that. */
export function parseProfile(text: string): Profile | undefined {
  return PROFILES.find((profile) => profile === text)
}

/** Reads what `formatOverrides` wrote for `--keep`. Undefined: it is not that. */
export function parseKeep(text: string): Overrides['keep'] {
  if (text === 'none') return []
  const parts = text.split(',').map((part) => /^(\d+)(?::(\d+))?$/.exec(part))
  if (parts.some((part) => part === null)) return undefined
  return parts.map((part) =>
    part?.[2] === undefined ? { id: Number(part?.[1]) } : { id: Number(part[1]), forMs: Number(part[2]) },
  )
}

function kept(plan: Plan, id: number, forMs: number | undefined): Fault[] {
  const fault = plan.faults.find((each) => each.id === id)
  if (fault === undefined) return []
  if (forMs === undefined || durationOf(fault) === undefined) return [fault]
  const { action } = fault
  const key = 'forMs' in action ? 'forMs' : 'downMs'
  return [{ ...fault, action: { ...action, [key]: forMs } as Fault['action'] }]
}

/** How long a fault lasts, when it lasts. */
export function durationOf({ action }: Fault): number | undefined {
  if ('forMs' in action) return action.forMs
  return 'downMs' in action ? action.downMs : undefined
}
