import { type CampaignState, runCampaign } from '../campaign/campaign.ts'
import type { PlainReport } from '../campaign/plain-report.ts'
import { missingMarks } from '../campaign/required-marks.ts'
import { shrink } from '../shrink/shrink.ts'
import { replayCommand, storyOf } from '../shrink/story.ts'
import type { Request } from './arguments.ts'

/** So many of the events that a campaign met least often are named. */
const RAREST_SHOWN = 12
/** Where nobody watches, a line in a minute says how far it is. */
const LINE_MS = 60_000

/** Runs that shrinking may take. */
const SHRINK_RUNS_MAX = 400

/** Runs a campaign and prints what came of it. Resolves to the exit code. */
export async function campaignCommand(request: Extract<Request, { kind: 'campaign' }>): Promise<number> {
  let interrupted = false
  process.once('SIGINT', () => {
    interrupted = true
  })
  const view = new View(request.json)
  const state = await runCampaign({
    ...request,
    failuresMax: request.failures,
    stopped: () => interrupted,
    onProgress: (progress) => view.progress(progress),
  })
  view.clear()
  const missing = missingMarks(state, request.overrides.profile)
  if (request.json) process.stdout.write(`${JSON.stringify(jsonOf(state, missing))}\n`)
  else printEnd(state, missing)
  const [first] = state.failures
  if (first !== undefined && request.shrink && !request.json && !interrupted) await printShrunk(first)
  if (state.failures.length > 0) return 1
  if (interrupted) return 130
  return missing.length > 0 ? 3 : 0
}

async function printShrunk({ seed, profile }: PlainReport): Promise<void> {
  process.stdout.write(`\nMaking seed ${seed} smaller …\n`)
  const shrunk = await shrink(seed, { runsMax: SHRINK_RUNS_MAX }, { profile })
  if (shrunk === undefined) {
    process.stdout.write(
      'It does not fail here: something outside of the seed decides as well. That is a bug of the simulator.\n',
    )
    return
  }
  process.stdout.write(`${shrunk.runs} runs later:\n\n${await storyOf(seed, shrunk.overrides)}\n`)
}

function printEnd(state: CampaignState, missing: readonly string[]): void {
  const say = (line: string): unknown => process.stdout.write(`${line}\n`)
  say(summaryOf(state))
  say(`transactions: ${listOf(state.tally)}`)
  const rarest = [...state.marks].sort(([, a], [, b]) => a - b).slice(0, RAREST_SHOWN)
  say(`${state.marks.size} kinds of events (--json lists all); the rarest: ${listOf(new Map(rarest))}`)
  if (missing.length > 0) say(`too weak: never reached ${missing.join(', ')}`)
  for (const { seed, profile, failure } of state.failures) {
    say(`seed ${seed} failed: ${failure?.check}: ${failure?.what.split('\n')[0]?.slice(0, 300)}`)
    say(`  ${replayCommand(seed, { profile })}`)
  }
}

function summaryOf({ runs, simulatedMs, realMs, failures }: CampaignState): string {
  const speed = simulatedMs / Math.max(1, realMs)
  return `${runs} runs, ${(simulatedMs / 3_600_000).toFixed(2)} simulated hours in ${(realMs / 1_000).toFixed(0)} s (${speed.toFixed(0)} times as fast), ${failures.length} failed`
}

function listOf(counts: ReadonlyMap<string, number>): string {
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')
}

function jsonOf(state: CampaignState, missing: readonly string[]): object {
  return {
    runs: state.runs,
    simulatedMs: Math.round(state.simulatedMs),
    realMs: Math.round(state.realMs),
    steps: state.steps,
    failures: state.failures.map(({ seed, profile, failure }) => ({
      seed,
      ...failure,
      replay: replayCommand(seed, { profile }),
    })),
    missingMarks: missing,
    marks: Object.fromEntries(state.marks),
    transactions: Object.fromEntries(state.tally),
    fatals: Object.fromEntries(state.fatals),
  }
}

/** Tells how far it is on stderr: in one line where somebody watches, and now and then elsewhere. Failures at once. */
class View {
  readonly #isTerminal = process.stderr.isTTY === true
  readonly #json: boolean
  #lastMs = 0
  #failures = 0

  constructor(json: boolean) {
    this.#json = json
  }

  progress(state: CampaignState): void {
    for (const { seed, failure } of state.failures.slice(this.#failures)) {
      this.clear()
      process.stderr.write(`seed ${seed} failed: ${failure?.check}\n`)
    }
    this.#failures = state.failures.length
    if (this.#json || state.realMs - this.#lastMs < (this.#isTerminal ? 200 : LINE_MS)) return
    this.#lastMs = state.realMs
    process.stderr.write(this.#isTerminal ? `\r\x1b[K${summaryOf(state)}` : `${summaryOf(state)}\n`)
  }

  clear(): void {
    if (this.#isTerminal) process.stderr.write('\r\x1b[K')
  }
}
