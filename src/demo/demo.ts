import { stdoutColors } from '../terminal/index.ts'
import type { KillSchedule } from './killer.ts'
import { describeReport, isGood } from './report.ts'
import { Stage } from './stage.ts'
import { StopRequest } from './stop-request.ts'
import { LineView, TerminalView, type View } from './view.ts'

/** How `concordat demo` runs. */
export interface DemoOptions {
  /** End after `seconds` or `killsMax`, instead of running until Ctrl-C or q. */
  readonly once: boolean
  /** Undefined: until `killsMax`, or for ever. */
  readonly seconds: number | undefined
  /** Print the report as one line of JSON on stdout; progress goes to stderr. */
  readonly json: boolean
  readonly applications: number
  /** Bookings under way at a time in each application. */
  readonly concurrency: number
  readonly kills: KillSchedule
  readonly killsMax: number | undefined
  readonly seed: number
}

/**
 * Runs the demo and answers with the exit code: 0 when every promise was kept.
 * Whatever way it ends, no process and no directory stays behind.
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const live = process.stdout.isTTY === true && !options.json
  const view: View = live ? new TerminalView(process.stdout) : new LineView(process.stderr)
  const stop = new StopRequest(live, () => view.say('stopping'))
  const stage = new Stage(options, view, live)
  try {
    await stage.setUp(stop)
    await stage.play(stop)
    const { report, found } = await Promise.race([stage.end(), stop.insisted])
    view.close()
    if (!options.json) console.log(describeReport(report, found, stage.faults, stdoutColors))
    await stage.tearDown()
    if (options.json) console.log(JSON.stringify(report))
    return isGood(report) ? 0 : 1
  } catch (error) {
    view.close()
    if (stop.requested) return 130
    throw error
  } finally {
    view.close()
    await stage.tearDown()
    stop.dispose()
  }
}
