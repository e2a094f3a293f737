import { type Command, InvalidArgumentError, Option } from 'commander'
import { toError } from '../base/index.ts'
import { type AskOptions, parseAddress } from '../server/index.ts'

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
        .argParser(addresses),
    )
    .addOption(new Option('--timeout <ms>', 'how long to wait for each answer').default(3_000).argParser(wholeNumber))
    .option('--json', 'print one line of JSON for machines')
}

/** The part of the flags that concerns the connection. */
export function askOptions(flags: CoordinatorFlags): AskOptions {
  return { timeoutMs: flags.timeout }
}

/** A flag's whole number, from 1. */
export function wholeNumber(text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1) return value
  throw new InvalidArgumentError('It must be a whole number, at least 1.')
}

function addresses(text: string): readonly string[] {
  const found = text.split(',').map((address) => address.trim())
  for (const address of found) {
    try {
      parseAddress(address)
    } catch (error) {
      throw new InvalidArgumentError(toError(error).message)
    }
  }
  return found
}
