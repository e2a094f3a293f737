import type { Command } from 'commander'
import { ConcordatError } from '../base/index.ts'
import { stderrColors } from '../terminal/index.ts'
import { askTerminal, isAtTerminal } from './ask-terminal.ts'

/** What commands take that can be told to leave out their safeguards. */
export interface ForceFlags {
  readonly force?: boolean
  readonly reason?: string
}

/** What goes into the replicated log needs a reason. */
export class ReasonMissingError extends ConcordatError {
  readonly code = 'REASON_MISSING'
}

/** Adds `--force` and `--reason`. */
export function addForceOptions(command: Command): Command {
  return command
    .option('--force', 'leave out the safeguards; needs a reason, which goes into the replicated log')
    .option('--reason <text>', 'why it is forced')
}

/** The reason to send along; asked for where somebody sits at a terminal. @throws ReasonMissingError, NotConfirmedError */
export async function forceOf({ force, reason }: ForceFlags): Promise<{ readonly reason: string } | undefined> {
  if (force !== true) {
    if (reason === undefined) return undefined
    throw new ReasonMissingError('--reason belongs to --force: without it nothing is forced')
  }
  const typed = (reason ?? (await askReason())).trim()
  if (typed === '') throw new ReasonMissingError('--force needs a reason: say why with --reason "…"')
  return { reason: typed }
}

async function askReason(): Promise<string> {
  if (!isAtTerminal()) return ''
  console.error(stderrColors.red('This leaves out what protects the fleet from losing its majority.'))
  return await askTerminal('Why is it right? ')
}
