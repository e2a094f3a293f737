import { type Command, Option } from 'commander'
import type { AskOptions } from '../server/index.ts'

/** What every command that asks coordinators takes. */
export interface CoordinatorFlags {
  readonly coordinators: readonly string[]
  readonly timeout: number
  readonly json?: boolean
}

/** Adds `--coordinators`, `--timeout` and `--json`. */
export function addCoordinatorOptions(command: Command): Command {
  return command
    .addOption(
      new Option('-c, --coordinators <host:port,…>', 'the coordinators to ask')
        .env('CONCORDAT_COORDINATORS')
        .default(['127.0.0.1:7400'], '127.0.0.1:7400')
        .argParser((text) => text.split(',').map((address) => address.trim())),
    )
    .addOption(new Option('--timeout <ms>', 'how long to wait for each answer').default(3_000).argParser(Number))
    .option('--json', 'print one line of JSON for machines')
}

/** The part of the flags that concerns the connection. */
export function askOptions(flags: CoordinatorFlags): AskOptions {
  return { timeoutMs: flags.timeout }
}
