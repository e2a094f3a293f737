import type { Audit } from './audit.ts'
import { percentile, type Tally } from './tally.ts'
import { count, describeKills, plural } from './words.ts'

/** Why bookings were rolled back that were not refused, and how often. */
type Faults = ReadonlyMap<string, number>

/** The last line of `concordat demo --once --json`. Durations are milliseconds; null where there is no sample. */
export interface DemoReport {
  readonly committed: number
  readonly aborted: number
  readonly unknown: number
  readonly leaderKills: number
  readonly clientKills: number
  /** Coordinators that did not lead. */
  readonly followerKills: number
  readonly participantKills: number
  readonly databaseKills: number
  readonly atomic: boolean
  readonly moneyConserved: boolean
  readonly inDoubtAfter: number
  readonly contradictions: number
  readonly inDoubtMs: { readonly p50: number | null; readonly p99: number | null; readonly max: number | null }
  readonly latencyMs: { readonly p50: number | null; readonly p99: number | null }
  /** Committed bookings a second, over the whole run. */
  readonly tps: number
  /** From each kill of a leader to the next commit. */
  readonly unavailableMs: { readonly p50: number | null; readonly max: number | null }
  readonly resources: readonly string[]
}

export function makeReport(
  tally: Tally,
  audit: Audit,
  inDoubtMs: readonly number[],
  seconds: number,
  resources: readonly string[],
): DemoReport {
  return {
    committed: tally.committed,
    aborted: tally.aborted,
    unknown: tally.unknown,
    leaderKills: tally.kills.leader,
    clientKills: tally.kills.application,
    followerKills: tally.kills.coordinator,
    participantKills: tally.kills.participant,
    databaseKills: tally.kills.database,
    atomic: audit.atomic,
    moneyConserved: audit.moneyConserved,
    inDoubtAfter: audit.inDoubtAfter,
    contradictions: audit.contradictions,
    inDoubtMs: { p50: share(inDoubtMs, 0.5), p99: share(inDoubtMs, 0.99), max: share(inDoubtMs, 1) },
    latencyMs: { p50: share(tally.latenciesMs, 0.5), p99: share(tally.latenciesMs, 0.99) },
    tps: Math.round((tally.committed / seconds) * 10) / 10,
    unavailableMs: { p50: share(tally.unavailableMs, 0.5), max: share(tally.unavailableMs, 1) },
    resources,
  }
}

/** A run is good when every promise was kept and something was there to keep it for. */
export function isGood(report: DemoReport): boolean {
  return (
    report.committed > 0 &&
    report.atomic &&
    report.moneyConserved &&
    report.inDoubtAfter === 0 &&
    report.contradictions === 0
  )
}

function share(values: readonly number[], part: number): number | null {
  const value = percentile(values, part)
  return value === undefined ? null : Math.round(value * 10) / 10
}

interface Colors {
  green(text: string): string
  red(text: string): string
  bold(text: string): string
}

/** The report as people read it: the verdict first. */
export function describeReport(report: DemoReport, audit: Audit, faults: Faults, colors: Colors): string {
  return [
    '',
    verdict(report, audit, colors),
    '',
    colors.bold('What the companies say'),
    ...companyLines(report, audit, colors),
    '',
    colors.bold('What the applications saw'),
    ...applicationLines(report, audit, faults),
    '',
    colors.bold('What the kills cost'),
    ...killLines(report),
    '',
  ].join('\n')
}

function verdict(report: DemoReport, audit: Audit, colors: Colors): string {
  if (report.committed === 0) return colors.red('Nothing was booked, so nothing was shown.')
  if (!isGood(report)) return colors.red('A PROMISE WAS BROKEN. Please report this run as a bug.')
  const killed = describeKills({
    leader: report.leaderKills,
    coordinator: report.followerKills,
    application: report.clientKills,
    participant: report.participantKills,
    database: report.databaseKills,
  })
  return [
    colors.bold(colors.green('Every promise was kept.')),
    `${plural(audit.paymentsMade, 'trip')} booked; killed with kill -9 meanwhile: ${killed}.`,
    'Each trip is with all four companies, or with none.',
  ].join('\n')
}

function companyLines(report: DemoReport, audit: Audit, colors: Colors): readonly string[] {
  const line = (what: string, good: boolean): string =>
    `  ${what.padEnd(36)} ${good ? colors.green('yes') : colors.red('NO')}`
  return [
    `  ${count(audit.seatsTaken)} seats, ${count(audit.roomsTaken)} rooms, ${count(audit.paymentsMade)} payments, ${count(audit.ticketsIssued)} tickets`,
    line('all or nothing, every booking', report.atomic),
    line('money conserved', report.moneyConserved),
    line('nothing left in doubt', report.inDoubtAfter === 0),
    line('every outcome told is the true one', report.contradictions === 0),
    ...audit.findings.map((finding) => `  ${colors.red('!')} ${finding}`),
  ]
}

function applicationLines(report: DemoReport, audit: Audit, faults: Faults): readonly string[] {
  const unheard = audit.paymentsMade - report.committed - audit.unknownCommitted
  const lines = [
    `  ${count(report.committed)} committed, ${count(report.aborted)} rolled back, ${count(report.unknown)} unknown; ${report.tps} committed a second`,
    ...timeLine('time of a committed booking', report.latencyMs.p50, report.latencyMs.p99, '99 %'),
  ]
  if (unheard > 0)
    lines.push(`  ${count(unheard)} more committed, but the application was killed before it could report it`)
  for (const [fault, times] of [...faults].sort((a, b) => b[1] - a[1]).slice(0, 3))
    lines.push(`  rolled back ${times === 1 ? 'once' : `${count(times)} times`}: ${fault}`)
  return lines
}

function killLines({ unavailableMs, inDoubtMs }: DemoReport): readonly string[] {
  return [
    ...timeLine("from a leader's death to the next commit", unavailableMs.p50, unavailableMs.max, 'longest'),
    ...timeLine('branches seen in doubt were settled after', inDoubtMs.p50, inDoubtMs.max, 'longest'),
  ]
}

/** Nothing when there is no sample. */
function timeLine(what: string, median: number | null, other: number | null, otherName: string): readonly string[] {
  if (median === null || other === null) return []
  return [`  ${what}: median ${Math.round(median)} ms, ${otherName} ${Math.round(other)} ms`]
}
