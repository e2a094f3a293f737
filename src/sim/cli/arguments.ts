import { parseArgs } from 'node:util'
import { type Overrides, parseKeep, parseProfile } from '../faults/overrides.ts'

/** What the command line asks for. */
export type Request =
  | { readonly kind: 'help' }
  | { readonly kind: 'replay'; readonly seed: number; readonly overrides: Overrides; readonly json: boolean }
  | { readonly kind: 'shrink'; readonly seed: number; readonly overrides: Overrides }
  | {
      readonly kind: 'campaign'
      readonly from: number
      readonly seeds: number
      readonly minutes: number
      readonly jobs: number | undefined
      /** Failing seeds after which the campaign stops. */
      readonly failures: number
      readonly json: boolean
      readonly shrink: boolean
      readonly overrides: Overrides
    }

const FAILURES_DEFAULT = 20

export const HELP = `Breaks a simulated fleet of coordinators, and says how.

  npm run sim -- --seed N              one run, with its trace
  npm run sim -- --seed N --shrink     the same, made as small as it still fails
  npm run sim -- --seeds N [--from M]  many runs, on all cores
  npm run sim -- --minutes M           the same, for so long

  --keep 3,7:120    only these faults; 7 lasts 120 ms     --jobs J      threads
  --transactions N  --applications N  --until MS          --json        for programs
  --profile P       databases, or participants: key-value participants and services as well.
                    Without it every fourth run of a campaign is of the second kind
  --no-shrink       only name the seeds that fail         --failures N  stop after so many (20)

With --json stdout holds lines of JSON, and the last one is the result; with --seed the trace comes before it.

Exit codes: 0 all is well, 1 a run failed, 2 wrong use, 3 the campaign was too weak (a rare branch was never reached).`

/** Something on the command line can't be. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** @throws UsageError */
export function parseRequest(args: readonly string[]): Request {
  const values = read(args)
  if (values.help === true) return { kind: 'help' }
  const overrides = overridesOf(values)
  const json = values.json ?? false
  if (values.seed !== undefined) {
    const seed = whole('--seed', values.seed)
    return values.shrink === true ? { kind: 'shrink', seed, overrides } : { kind: 'replay', seed, overrides, json }
  }
  const limited = values.seeds !== undefined || values.minutes !== undefined
  return {
    kind: 'campaign',
    from: values.from === undefined ? 1 : whole('--from', values.from),
    seeds: values.seeds === undefined ? Number.POSITIVE_INFINITY : whole('--seeds', values.seeds),
    minutes:
      values.minutes === undefined ? (limited ? Number.POSITIVE_INFINITY : 1) : positive('--minutes', values.minutes),
    jobs: values.jobs === undefined ? undefined : whole('--jobs', values.jobs),
    failures: values.failures === undefined ? FAILURES_DEFAULT : whole('--failures', values.failures),
    json,
    shrink: values['no-shrink'] !== true,
    overrides,
  }
}

function read(args: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  try {
    return parseArgs({
      args: [...args],
      options: {
        seed: text,
        seeds: text,
        from: text,
        minutes: text,
        jobs: text,
        failures: text,
        keep: text,
        transactions: text,
        applications: text,
        until: text,
        profile: text,
        json: flag,
        shrink: flag,
        'no-shrink': flag,
        help: { ...flag, short: 'h' },
      },
    }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function overridesOf(values: ReturnType<typeof read>): Overrides {
  const { keep, transactions, applications, until, profile: named } = values
  const profile = named === undefined ? undefined : parseProfile(named)
  if (named !== undefined && profile === undefined) throw new UsageError('--profile wants databases or participants')
  const kept = keep === undefined ? undefined : parseKeep(keep)
  if (keep !== undefined && kept === undefined) throw new UsageError('--keep wants ids such as 3,7:120, or none')
  return {
    profile,
    keep: kept,
    transactions: transactions === undefined ? undefined : whole('--transactions', transactions),
    applications: applications === undefined ? undefined : whole('--applications', applications),
    faultsMs: until === undefined ? undefined : whole('--until', until),
  }
}

function whole(flag: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`${flag} wants a whole number, not ${text}`)
  return Number(text)
}

function positive(flag: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new UsageError(`${flag} wants a positive number, not ${text}`)
  return value
}
