import type { Overrides } from '../faults/overrides.ts'
import { formatOverrides, planWith } from '../faults/overrides.ts'
import type { Note } from '../kernel/world.ts'
import { simulate } from '../run/simulation.ts'

/** Lines of one actor, at most, before the failure: the end of a story says more than its middle. */
const LINES_MAX = 120

/** One line of a trace. */
export function formatNote({ atMs, actor, what }: Note): string {
  return `${(atMs / 1_000).toFixed(4).padStart(9)}  ${actor.padEnd(8)}  ${what}`
}

/** The one command that replays a run with its trace. */
export function replayCommand(seed: number, overrides: Overrides = {}): string {
  return `npm run sim -- --seed ${seed} ${formatOverrides(overrides)}`.trimEnd()
}

/** Who did what, when, up to the failing check. */
export async function storyOf(seed: number, overrides: Overrides): Promise<string> {
  const notes: Note[] = []
  const report = await simulate(planWith(seed, overrides), { onNote: (note) => notes.push(note) })
  const { failure } = report
  const lines = notes.map(formatNote)
  const shown =
    lines.length > LINES_MAX ? [`   … ${lines.length - LINES_MAX} lines before`, ...lines.slice(-LINES_MAX)] : lines
  return [
    failure === undefined ? 'Nothing failed.' : `${failure.check}: ${failure.what}`,
    '',
    ...shown,
    '',
    `Replay: ${replayCommand(seed, overrides)}`,
  ].join('\n')
}
