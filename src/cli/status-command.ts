import type { Command } from 'commander'
import { toError } from '../base/index.ts'
import { askStatus, type NodeStatus } from '../server/asking/index.ts'
import { stdoutColors } from '../terminal/index.ts'
import { addCoordinatorOptions, askOptions, type CoordinatorFlags } from './coordinator-option.ts'
import { explainLeaderless, type StatusAnswer } from './leaderless.ts'
import { describeBytes, describeMs, ExitCode, printJson, printTable } from './output.ts'

const NO_RESOURCES =
  'The leader knows no databases (no `resources` in its configuration): what an application leaves in doubt nobody settles, and its locks stay.'

/** `concordat status`: every coordinator's own view, side by side. */
export function addStatusCommand(program: Command): void {
  addCoordinatorOptions(program.command('status'))
    .description('members, roles, term, commit index, lag, open and in-doubt transactions')
    .action(async (flags: CoordinatorFlags) => {
      const answers = await Promise.all(flags.coordinators.map((address) => ask(address, flags)))
      if (flags.json) printJson(answers)
      else print(answers)
      if (answers.every(({ status }) => status === undefined)) process.exitCode = ExitCode.unavailable
    })
}

async function ask(address: string, flags: CoordinatorFlags): Promise<StatusAnswer> {
  try {
    return { address, status: await askStatus(address, askOptions(flags)) }
  } catch (error) {
    return { address, error: toError(error).message }
  }
}

function print(answers: readonly StatusAnswer[]): void {
  const leader = answers.find(({ status }) => status?.serving)?.status
  printTable(
    ['NODE', 'ADDRESS', 'ROLE', 'TERM', 'COMMIT', 'APPLIED', 'LAG', 'LOG', 'MEMORY', 'UP'],
    answers.map((answer) => row(answer, leader)),
  )
  for (const { address, error } of answers)
    if (error !== undefined) console.log(stdoutColors.red(error.startsWith(address) ? error : `${address}: ${error}`))
  if (leader === undefined) {
    console.log(stdoutColors.red(`\n${explainLeaderless(answers)}`))
    return
  }
  printTransactions(leader)
  printParticipants(leader)
  printGuard(leader)
}

function printParticipants({ participants = [] }: NodeStatus): void {
  if (participants.length === 0) return
  console.log('')
  printTable(
    ['PARTICIPANT', 'INSTANCES'],
    participants.map(({ name, instances }) => [name, instances === 0 ? 'none: its branches wait' : String(instances)]),
  )
}

function printGuard({ guard }: NodeStatus): void {
  if (guard === undefined) return
  console.log(
    stdoutColors.red(
      `\nA part of the log was lost: transactions made before ${new Date(guard.beforeMs).toISOString()} that it does not know are not decided. See: concordat guard`,
    ),
  )
}

function row({ address, status }: StatusAnswer, leader: NodeStatus | undefined): readonly string[] {
  if (status === undefined) return ['?', address, 'no answer']
  const lag = leader?.members.find(({ node }) => node === status.node)?.lag
  return [
    String(status.node),
    address,
    roleOf(status),
    String(status.term),
    String(status.commitIndex),
    String(status.lastApplied),
    lag === undefined ? '-' : String(lag),
    describeBytes(status.log.bytesOnDisk) + (status.log.spaceLow ? ' DISK FULL' : ''),
    describeBytes(status.residentBytes),
    describeMs(status.uptimeMs),
  ]
}

function roleOf({ removed, role, serving }: NodeStatus): string {
  if (removed) return 'removed'
  return role === 'leader' && !serving ? 'leader (starting)' : role
}

function printTransactions({ cluster, transactions, resources }: NodeStatus): void {
  const { preparing, decided, finished, committed, aborted, heuristics, settlements = 0 } = transactions
  console.log(`\n${stdoutColors.bold(`Transactions of ${cluster}`)}`)
  console.log(`  open: ${preparing} gathering votes, ${decided} decided and not acknowledged by all`)
  console.log(`  finished and remembered: ${finished}; decided in this log: ${committed} committed, ${aborted} aborted`)
  if (heuristics > 0)
    console.log(
      stdoutColors.red(
        `  ${heuristics} branches ended otherwise than decided, or nobody can tell: concordat list --state heuristic`,
      ),
    )
  if (settlements > 0)
    console.log(
      stdoutColors.red(
        `  settled by hand, not as decided, and not acknowledged: ${settlements}. See: concordat in-doubt`,
      ),
    )
  if (resources.length === 0) {
    if (decided > 0) console.log(stdoutColors.red(`\n${NO_RESOURCES}`))
    return
  }
  console.log('')
  printTable(
    ['RESOURCE', 'IN DOUBT', 'OLDEST', 'STATE'],
    resources.map(({ name, inDoubt, oldestMs, error }) => [
      name,
      String(inDoubt),
      oldestMs === undefined ? '-' : describeMs(oldestMs),
      error ?? 'ok',
    ]),
  )
}
