import type { Audit } from './audit.ts'
import { percentile, type Tally } from './tally.ts'

/** The last line of `concordat demo --once --json`. Durations are milliseconds; null where there is no sample. */
export interface DemoReport {
  readonly committed: number
  readonly aborted: number
  readonly unknown: number
  readonly leaderKills: number
  readonly clientKills: number
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
    leaderKills: tally.leaderKills,
    clientKills: tally.clientKills,
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

/** The report as people read it. */
export function describeReport(
  report: DemoReport,
  audit: Audit,
  colors: { green(text: string): string; red(text: string): string; bold(text: string): string },
): string {
  const mark = (good: boolean): string => (good ? colors.green('yes') : colors.red('NO'))
  const ms = (value: number | null): string => (value === null ? 'none seen' : `${value} ms`)
  return [
    colors.bold('What the databases say'),
    `  seats taken ${audit.seatsTaken} · rooms taken ${audit.roomsTaken} · payments made ${audit.paymentsMade}`,
    `  all or nothing, every booking        ${mark(report.atomic)}`,
    `  money conserved                      ${mark(report.moneyConserved)}`,
    `  nothing left in doubt                ${mark(report.inDoubtAfter === 0)}`,
    `  every outcome told is the true one   ${mark(report.contradictions === 0)}`,
    ...audit.findings.map((finding) => `  ${colors.red('!')} ${finding}`),
    colors.bold('What the applications saw'),
    `  ${report.committed} committed · ${report.aborted} aborted · ${report.unknown} unknown · ${report.tps} committed a second`,
    `  a booking took ${ms(report.latencyMs.p50)} (p50), ${ms(report.latencyMs.p99)} (p99)`,
    colors.bold('What the kills cost'),
    `  ${report.leaderKills} leaders and ${report.clientKills} applications killed with kill -9`,
    `  until the next commit after a leader's death: ${ms(report.unavailableMs.p50)} (p50), ${ms(report.unavailableMs.max)} (max)`,
    `  branches seen in doubt: ${ms(report.inDoubtMs.p50)} (p50), ${ms(report.inDoubtMs.p99)} (p99), ${ms(report.inDoubtMs.max)} (max)`,
  ].join('\n')
}
