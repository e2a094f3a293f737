import type { Command } from 'commander'
import { askLeader, type LeaderQuestions } from '../server/asking/index.ts'
import { stdoutColors } from '../terminal/index.ts'
import { addCoordinatorOptions, askOptions, type CoordinatorFlags } from './coordinator-option.ts'
import { ReasonMissingError } from './force-option.ts'
import { printJson } from './output.ts'
import { insist } from './patience.ts'

/** `concordat guard`: what a lost part of the log left in doubt. */
export function addGuardCommand(program: Command): void {
  const guard = program
    .command('guard')
    .description('after a restore or a forced recovery: which transactions are not decided, and the end of that')
  addCoordinatorOptions(guard.command('show', { isDefault: true }))
    .description('what is guarded')
    .action(async (flags: CoordinatorFlags) =>
      print(await askLeader(flags.coordinators, { method: 'guard' }, askOptions(flags)), flags),
    )
  addCoordinatorOptions(guard.command('lift'))
    .description('what the log does not know counts as aborted again; settle what is prepared in the databases first')
    .requiredOption('--reason <text>', 'what was settled, and on what evidence; goes into the replicated log')
    .action(async (flags: CoordinatorFlags & { readonly reason: string }) => {
      const reason = flags.reason.trim()
      if (reason === '') throw new ReasonMissingError('say what was settled, and on what evidence, with --reason "…"')
      const question = { method: 'guard.lift', reason } as const
      const patience = { unreachableMs: flags.timeout, refusedMs: flags.timeout }
      print(await insist(flags.coordinators, question, askOptions(flags), patience), flags)
    })
}

function print({ guard }: LeaderQuestions['guard']['answer'], { json }: CoordinatorFlags): void {
  if (json) {
    printJson({ guard })
    return
  }
  if (guard === null) {
    console.log('Nothing is guarded: an unknown transaction is an aborted one.')
    return
  }
  const from = guard.fromMs === 0 ? 'the beginning' : new Date(guard.fromMs).toISOString()
  console.log(
    [
      stdoutColors.bold(`Guarded: transactions made from ${from} to ${new Date(guard.beforeMs).toISOString()}`),
      'that this log does not know. Their decision may have been in the part of the log that was lost, so nothing is',
      'decided about them: branches that are prepared keep their locks, and clients hear that the outcome is unknown.',
      '\n  1. concordat in-doubt lists what is prepared in the configured databases; the branches in question are (guarded).',
      '     Where the log knows the outcome, the resolver finishes the branch.',
      '  2. Of the guarded ones: if any branch of a transaction was committed, or its application was told so, commit the',
      '     rest; if one was rolled back, roll the rest back. If all are still prepared, choose one for all:',
      '       concordat settle TXID --branch N --commit --without-decision --reason "how you know"',
      '  3. concordat guard lift --reason "what you found"',
    ].join('\n'),
  )
}
