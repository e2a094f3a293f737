import type { VictimKind } from './tally.ts'

/** A whole number with its thousands apart. */
export function count(value: number): string {
  return value.toLocaleString('en-US')
}

/** `1 leader`, `2 leaders`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`
}

const NOUNS = {
  leader: 'leader',
  coordinator: 'follower',
  application: 'application',
  participant: 'participant',
  database: 'database',
} as const satisfies Record<VictimKind, string>

/** What was killed, as a list in words. */
export function describeKills(kills: Readonly<Record<VictimKind, number>>): string {
  const words = Object.entries(NOUNS)
    .filter(([kind]) => kills[kind as VictimKind] > 0)
    .map(([kind, noun]) => plural(kills[kind as VictimKind], noun))
  const last = words.pop() ?? 'nothing'
  return words.length === 0 ? last : `${words.join(', ')} and ${last}`
}
