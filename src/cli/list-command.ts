import { type Command, Option } from 'commander'
import { askLeader } from '../server/asking/index.ts'
import type { TransactionView } from '../txn/index.ts'
import { addCoordinatorOptions, askOptions, type CoordinatorFlags, wholeNumber } from './coordinator-option.ts'
import { printJson, printTable } from './output.ts'

const STATES = ['open', 'preparing', 'committed', 'aborted', 'heuristic'] as const

interface ListFlags extends CoordinatorFlags {
  readonly state: (typeof STATES)[number]
  readonly limit: number
}

/** `concordat list`: transactions that are not finished, or need an operator. */
export function addListCommand(program: Command): void {
  addCoordinatorOptions(program.command('list'))
    .description('transactions that are open, or need an operator')
    .addOption(
      new Option(
        '--state <state>',
        'which ones; committed and aborted: decided, and a branch has not acknowledged it yet',
      )
        .choices(STATES)
        .default('open'),
    )
    .addOption(new Option('--limit <n>', 'at most this many').default(50).argParser(wholeNumber))
    .action(async (flags: ListFlags) => {
      const found = await askLeader(
        flags.coordinators,
        { method: 'list', state: flags.state, limit: flags.limit },
        askOptions(flags),
      )
      if (flags.json) printJson(found)
      else print(found)
    })
}

function print(found: readonly TransactionView[]): void {
  if (found.length === 0) {
    console.log('none')
    return
  }
  printTable(
    ['TXID', 'STATE', 'BRANCHES', 'NOTE'],
    found.map((each) => [
      each.txid,
      each.state,
      each.branches.map(({ branch, participant }) => `${branch}:${participant}`).join(' ') || '-',
      note(each),
    ]),
  )
}

function note({ outcome, heuristics, heuristicMixed }: TransactionView): string {
  const notes = heuristics.map(
    ({ branch, found }) => `branch ${branch} ${found === 'none' ? 'ended nobody knows how' : `found ${found}`}`,
  )
  if (heuristicMixed) notes.push('MIXED: branches ended differently')
  if (outcome?.kind === 'aborted')
    notes.push(`${outcome.reason}${outcome.participant === undefined ? '' : ` by ${outcome.participant}`}`)
  return notes.join('; ')
}
