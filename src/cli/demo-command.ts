import { type Command, InvalidArgumentError, Option } from 'commander'
import { ConcordatError } from '../base/index.ts'
import type { KillSchedule } from '../demo/index.ts'

interface DemoFlags {
  readonly once?: boolean
  readonly json?: boolean
  readonly seconds?: number
  readonly applications: number
  readonly concurrency: number
  readonly leaderKillEvery: number
  readonly applicationKillEvery: number
  readonly participantKillEvery: number
  readonly databaseKillEvery: number
  readonly killEvery?: number
  readonly kills?: number
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
    .description('book trips over databases, a key-value store and a service while all of them are killed')
    .option('--once', 'run for --seconds, then end, audit and exit')
    .option('--json', 'print the result as one line of JSON (the last line of stdout)')
    .addOption(
      new Option('--seconds <n>', 'how long a --once run books (default: 30; with --kills no limit)').argParser(
        positive,
      ),
    )
    .addOption(number('--applications <n>', 'application processes', 2))
    .addOption(number('--concurrency <n>', 'bookings under way at a time in each', 8))
    .addOption(number('--leader-kill-every <seconds>', 'kill -9 the leader this often', 10))
    .addOption(number('--application-kill-every <seconds>', 'kill -9 an application this often', 7))
    .addOption(number('--participant-kill-every <seconds>', 'kill -9 the key-value store or the service this often', 8))
    .addOption(number('--database-kill-every <seconds>', 'kill -9 a database server this often', 20))
    .addOption(
      new Option('--kill-every <seconds>', 'kill -9 any one process this often, instead of the four above').argParser(
        positive,
      ),
    )
    .addOption(new Option('--kills <n>', 'end a --once run when so many were killed').argParser(positive))
    .addOption(number('--seed <n>', 'chooses who is killed', 1))
    .action(async (flags: DemoFlags) => {
      const { runDemo } = await importDemo()
      process.exitCode = await runDemo({
        once: flags.once === true,
        json: flags.json === true,
        seconds: flags.seconds ?? (flags.kills === undefined ? 30 : undefined),
        applications: flags.applications,
        concurrency: flags.concurrency,
        kills: schedule(flags),
        killsMax: flags.kills,
        seed: flags.seed,
      })
    })
}

function schedule(flags: DemoFlags): KillSchedule {
  if (flags.killEvery !== undefined) return { anyEveryMs: flags.killEvery * 1_000 }
  return {
    leaderEveryMs: flags.leaderKillEvery * 1_000,
    applicationEveryMs: flags.applicationKillEvery * 1_000,
    participantEveryMs: flags.participantKillEvery * 1_000,
    databaseEveryMs: flags.databaseKillEvery * 1_000,
  }
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
