import { type Command, Option } from 'commander'
import { askOwnInDoubt, type InDoubtAnswer } from '../server/asking/index.ts'
import { addCoordinatorOptions, askOptions, type CoordinatorFlags, wholeNumber } from './coordinator-option.ts'
import { printInDoubt } from './in-doubt-print.ts'
import { ExitCode, printJson } from './output.ts'
import { insist } from './patience.ts'

interface InDoubtFlags extends CoordinatorFlags {
  readonly limit: number
}

/** The part of `--timeout` that the coordinator may spend on a database, and then on its log: half for each but the way. */
const WAIT_SHARE = 0.4

/** `concordat in-doubt`: what is prepared in the databases, what is known of it, and what it blocks. */
export function addInDoubtCommand(program: Command): void {
  addCoordinatorOptions(program.command('in-doubt'))
    .description('prepared branches in all databases: how old, how decided, and what they block')
    .addOption(
      new Option('--limit <n>', 'at most this many branches, the oldest first').default(50).argParser(wholeNumber),
    )
    .action(async (flags: InDoubtFlags) => {
      const answer = await ask(flags)
      if (flags.json) printJson(answer)
      else printInDoubt(answer)
      if (!isWhole(answer)) process.exitCode = ExitCode.failed
    })
}

/** The leader, or without one any coordinator: what is decided, and what the databases hold, it can tell as well. */
async function ask(flags: InDoubtFlags): Promise<InDoubtAnswer> {
  const question = { limit: flags.limit, waitMs: Math.max(1, Math.floor(flags.timeout * WAIT_SHARE)) }
  const options = askOptions(flags)
  try {
    // An election takes less than that.
    const patience = { unreachableMs: flags.timeout, refusedMs: 0 }
    return await insist(flags.coordinators, { method: 'in-doubt', ...question }, options, patience)
  } catch (error) {
    for (const address of flags.coordinators) {
      const answer = await askOwnInDoubt(address, question, options).catch(() => undefined)
      if (answer !== undefined) return answer
    }
    throw error
  }
}

/** Nothing may be missing from the list, and every decision in it is of now. */
function isWhole({ current, resources }: InDoubtAnswer): boolean {
  return current && resources.length > 0 && resources.every(({ error }) => error === undefined)
}
