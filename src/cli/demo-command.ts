import { type Command, InvalidArgumentError, Option } from 'commander'
import { ConcordatError } from '../base/index.ts'

interface DemoFlags {
  readonly once?: boolean
  readonly json?: boolean
  readonly seconds: number
  readonly applications: number
  readonly concurrency: number
  readonly leaderKillEvery: number
  readonly applicationKillEvery: number
  readonly seed: number
}

/** The demo needs drivers and servers that a production install does not bring. */
class DemoPartsMissingError extends ConcordatError {
  readonly code = 'DEMO_PARTS_MISSING'
}

/** `concordat demo`: the main job. */
export function addDemoCommand(program: Command): void {
  const number = (flag: string, text: string, fallback: number): Option =>
    new Option(flag, text).default(fallback).argParser(positive)
  program
    .command('demo')
    .description('book trips over three real databases while coordinators and applications are killed')
    .option('--once', 'run for --seconds, then end, audit and exit')
    .option('--json', 'print the result as one line of JSON (the last line of stdout)')
    .addOption(number('--seconds <n>', 'how long a --once run books', 30))
    .addOption(number('--applications <n>', 'application processes', 2))
    .addOption(number('--concurrency <n>', 'bookings under way at a time in each', 8))
    .addOption(number('--leader-kill-every <seconds>', 'kill -9 the leader this often', 10))
    .addOption(number('--application-kill-every <seconds>', 'kill -9 an application this often', 7))
    .addOption(number('--seed <n>', 'chooses which application is killed', 1))
    .action(async (flags: DemoFlags) => {
      const { runDemo } = await importDemo()
      process.exitCode = await runDemo({
        once: flags.once === true,
        json: flags.json === true,
        seconds: flags.seconds,
        applications: flags.applications,
        concurrency: flags.concurrency,
        leaderKillEverySeconds: flags.leaderKillEvery,
        applicationKillEverySeconds: flags.applicationKillEvery,
        seed: flags.seed,
      })
    })
}

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('expected a number above 0')
  return value
}

async function importDemo(): Promise<typeof import('../demo/index.ts')> {
  try {
    return await import('../demo/index.ts')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new DemoPartsMissingError(
      'the demo needs drivers that are not installed here; run it from a clone of the repository with `npm start`, or install pg and mysql2 beside concordat',
      { cause },
    )
  }
}
