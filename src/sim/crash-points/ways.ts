import type { Failpoint } from '../../base/index.ts'

/** How it goes on after the crash. */
export const WAYS = {
  restart: 'The process dies (kill -9) and starts again at once.',
  takeover: 'The process dies and stays away until others have finished what it began; then it starts again.',
  power: 'The power fails: bytes that were not synced are lost, some of them half. Then it starts again.',
  again: 'The process dies, starts again, and dies once more on its way up; then it starts again.',
  connection: 'Not the process dies but its connection to the database.',
  server: 'Not the process dies but the database server, which starts again.',
} as const

export type Way = keyof typeof WAYS

/** Every point is tried in these four. */
export const FOUR_WAYS = ['restart', 'takeover', 'power', 'again'] as const satisfies readonly Way[]

/** The ways in which this point is tried. */
export function waysOf({ component, alone }: Failpoint): readonly Way[] {
  const ways: readonly Way[] = alone === undefined ? FOUR_WAYS : FOUR_WAYS.filter((way) => way !== 'takeover')
  return component === 'database' ? [...ways, 'connection', 'server'] : ways
}
