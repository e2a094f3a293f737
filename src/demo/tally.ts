import type { ApplicationNews } from './messages.ts'

/** What is killed. A leader is not counted as a coordinator as well. */
export type VictimKind = 'leader' | 'coordinator' | 'application' | 'participant' | 'database'

/** How many latencies are kept for the percentiles: the newest ones. */
const SAMPLES_MAX = 200_000

/** Counts what the applications report, and measures how long nobody could commit after each kill of a leader. */
export class Tally {
  committed = 0
  aborted = 0
  refused = 0
  unknown = 0
  /** Processes killed, by their kind. */
  readonly kills: Record<VictimKind, number> = {
    leader: 0,
    coordinator: 0,
    application: 0,
    participant: 0,
    database: 0,
  }
  readonly latenciesMs: number[] = []
  readonly unavailableMs: number[] = []
  readonly faults = new Map<string, number>()
  /** Commits in the last seconds, for the live view: one count a second, newest last. */
  readonly perSecond: number[] = [0]
  #pendingKills: { readonly atMs: number; readonly commits: number[] }[] = []

  add(news: ApplicationNews): void {
    this.committed += news.committed.length
    this.aborted += news.aborted
    this.refused += news.refused
    this.unknown += news.unknown
    for (const fault of news.faults) this.faults.set(fault, (this.faults.get(fault) ?? 0) + 1)
    for (const latency of news.latenciesMs) this.latenciesMs.push(latency)
    if (this.latenciesMs.length > SAMPLES_MAX) this.latenciesMs.splice(0, this.latenciesMs.length - SAMPLES_MAX)
    this.perSecond[this.perSecond.length - 1]! += news.committed.length
    for (const kill of this.#pendingKills) for (const at of news.committed) if (at > kill.atMs) kill.commits.push(at)
  }

  get killsInAll(): number {
    return Object.values(this.kills).reduce((sum, kills) => sum + kills, 0)
  }

  /** Begins a new second of the live view. */
  nextSecond(): void {
    this.perSecond.push(0)
    if (this.perSecond.length > 60) this.perSecond.shift()
  }

  /** The leader was killed just now. */
  leaderKilled(atMs: number): void {
    this.kills.leader++
    this.#pendingKills.push({ atMs, commits: [] })
  }

  /**
   * Ends the watch over kills that are older than `windowMs`. Answers that the dead leader had sent already still arrive
   * for a moment, so the outage ends at the far side of the longest silence in the window, not at the first commit.
   */
  settleKills(nowMs: number, windowMs: number): void {
    this.#pendingKills = this.#pendingKills.filter((kill) => {
      if (nowMs - kill.atMs < windowMs) return true
      // Nobody tried to commit any more: there was nothing to measure.
      if (kill.commits.length === 0) return false
      this.unavailableMs.push(endOfLongestSilence([kill.atMs, ...kill.commits.sort((a, b) => a - b)]) - kill.atMs)
      return false
    })
  }
}

/** The end of the longest gap between neighbours; the window's length is what there is when nothing came at all. */
export function endOfLongestSilence(timesMs: readonly number[]): number {
  let longest = 0
  let end = timesMs.at(-1) ?? 0
  for (let i = 1; i < timesMs.length; i++) {
    const gap = timesMs[i]! - timesMs[i - 1]!
    if (gap <= longest) continue
    longest = gap
    end = timesMs[i]!
  }
  return end
}

/** The value below which the given share of `values` lies; undefined when there is none. */
export function percentile(values: readonly number[], share: number): number | undefined {
  if (values.length === 0) return undefined
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}
