import { type Command, InvalidArgumentError, Option } from 'commander'
import { toError } from '../base/index.ts'
import {
  AdminRefusedError,
  askLeader,
  askOwnMembers,
  CoordinatorUnreachableError,
  type LeaderQuestions,
  parseAddress,
} from '../server/asking/index.ts'
import { stderrColors } from '../terminal/index.ts'
import { addCoordinatorOptions, askOptions, type CoordinatorFlags, wholeNumber } from './coordinator-option.ts'
import { addForceOptions, type ForceFlags, forceOf } from './force-option.ts'
import { ExitCode, printJson, printTable } from './output.ts'
import { insist } from './patience.ts'

type Members = LeaderQuestions['members.list']['answer']
type ChangeMethod = 'members.add' | 'members.promote' | 'members.demote' | 'members.remove'

interface ChangeFlags extends CoordinatorFlags, ForceFlags {
  readonly wait: number
}

/** `concordat members …`: who takes part. */
export function addMembersCommand(program: Command): void {
  const members = program.command('members').description('who takes part, and changes of it')
  addCoordinatorOptions(members.command('list'))
    .description('the members, what they do and how far they are')
    .action(list)
  addChange(members.command('add'))
    .description('a new node, as a learner: it gets the log and has no vote. Or the new address of a member')
    .argument('<node=host:port>', 'its node id, never used before, and where its peers reach it', toMember)
    .action(async ({ node, address }: Member, flags: ChangeFlags) =>
      change({ method: 'members.add', node, address, force: await forceOf(flags) }, flags),
    )
  addChange(members.command('promote'))
    .description('a learner becomes a voter, as soon as it has caught up')
    .argument('<node>', 'its node id', wholeNumber)
    .addOption(new Option('--replacing <node>', 'a voter that goes in the same step').argParser(wholeNumber))
    .action(async (node: number, flags: ChangeFlags & { readonly replacing?: number }) =>
      change({ method: 'members.promote', node, replaces: flags.replacing, force: await forceOf(flags) }, flags),
    )
  addChange(members.command('demote'))
    .description('a voter becomes a learner')
    .argument('<node>', 'its node id', wholeNumber)
    .action(async (node: number, flags: ChangeFlags) =>
      change({ method: 'members.demote', node, force: await forceOf(flags) }, flags),
    )
  addChange(members.command('remove'))
    .description('a member goes, for good: its node id is never used again')
    .argument('<node>', 'its node id', wholeNumber)
    .action(async (node: number, flags: ChangeFlags) =>
      change({ method: 'members.remove', node, force: await forceOf(flags) }, flags),
    )
}

function addChange(command: Command): Command {
  return addForceOptions(addCoordinatorOptions(command)).addOption(
    new Option('--wait <seconds>', 'how long to wait for a learner that catches up, or for another change')
      .default(3_600)
      .argParser(wholeNumber),
  )
}

async function list(flags: CoordinatorFlags): Promise<void> {
  const options = askOptions(flags)
  try {
    // An election takes less than that.
    const patience = { unreachableMs: flags.timeout, refusedMs: 0 }
    const found = await insist(flags.coordinators, { method: 'members.list' }, options, patience)
    if (flags.json) printJson(found)
    else print(found)
  } catch (error) {
    if (!(error instanceof CoordinatorUnreachableError)) throw error
    const heard = await anyView(flags)
    // Nobody answered at all.
    if (heard === undefined) throw error
    process.exitCode = ExitCode.failed
    console.error(
      stderrColors.red('No leader answers. This is what one coordinator has heard last; it may be out of date.'),
    )
    if (flags.json) printJson(heard)
    else print(heard)
  }
}

/** The newest that any coordinator has heard. */
async function anyView(flags: CoordinatorFlags): Promise<Members | undefined> {
  const options = askOptions(flags)
  const views = await Promise.all(
    flags.coordinators.map((address) => askOwnMembers(address, options).catch(() => undefined)),
  )
  return views.reduce((best, view) => ((view?.version ?? -1) > (best?.version ?? -1) ? view : best), undefined)
}

async function change(
  question: LeaderQuestions[ChangeMethod]['question'] & { readonly method: ChangeMethod },
  flags: ChangeFlags,
): Promise<void> {
  const options = askOptions(flags)
  const found = await insist(flags.coordinators, question, options, {
    unreachableMs: flags.timeout,
    refusedMs: flags.wait * 1_000,
    onRefused: (refusal) => tellProgress(question, refusal, flags),
  }).catch(async (error: unknown) => {
    // Said twice, for example because the first answer got lost.
    if (!(error instanceof AdminRefusedError && error.refusal === 'MEMBERS_UNCHANGED')) throw error
    return await askLeader(flags.coordinators, { method: 'members.list' }, options)
  })
  if (flags.json) printJson(found)
  else print(found)
}

/** One line on stderr that is written over again and again; in a pipe, nothing. */
async function tellProgress(
  { method, node }: { readonly method: ChangeMethod; readonly node: number },
  { refusal }: AdminRefusedError,
  flags: ChangeFlags,
): Promise<void> {
  if (!process.stderr.isTTY) return
  const waits = `node ${node}: ${refusal === 'MEMBERS_NOT_CAUGHT_UP' ? await lagOf(node, flags) : 'waiting for the fleet'}`
  const safe = method === 'members.promote' ? '; it stays a learner if you stop this with Ctrl-C' : ''
  process.stderr.write(`\r\u001b[K${stderrColors.dim(waits + safe)}`)
}

async function lagOf(node: number, flags: ChangeFlags): Promise<string> {
  try {
    const { members } = await askLeader(flags.coordinators, { method: 'members.list' }, askOptions(flags))
    const lag = members.find(({ nodeId }) => nodeId === node)?.lag
    return lag === undefined ? 'not heard of yet' : `${lag} entries behind`
  } catch (error) {
    return toError(error).message.split('\n')[0] ?? ''
  }
}

function print({ members, retired, leader, joint, forcedBecause, version }: Members): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K')
  printTable(
    ['NODE', 'ROLE', 'ADDRESS', 'STATE', 'MATCH', 'LAG'],
    members.map((member) => [
      String(member.nodeId),
      member.nodeId === leader ? `${member.role}, leader` : member.role,
      member.address ?? '?',
      stateOf(member),
      member.matchIndex === undefined ? '-' : String(member.matchIndex),
      member.lag === undefined ? '-' : String(member.lag),
    ]),
  )
  if (joint) console.log('\nA change is half done: majorities of the old and of the new voters decide together.')
  if (retired.length > 0) console.log(`\nRemoved, and never used again: ${retired.join(', ')}`)
  if (forcedBecause !== undefined) console.log(`\nThe last change (entry ${version}) was forced: ${forcedBecause}`)
}

function stateOf({ alive, connected, doubtful, rebuilding }: Members['members'][number]): string {
  if (doubtful === true || rebuilding) return rebuilding ? 'rebuilding' : 'lost a part of its log'
  if (alive === undefined) return connected ? 'connected' : 'not connected'
  return alive ? 'alive' : 'no answer'
}

interface Member {
  readonly node: number
  readonly address: string
}

function toMember(text: string): Member {
  const [id = '', address = ''] = text.split('=')
  try {
    parseAddress(address)
  } catch (error) {
    throw new InvalidArgumentError(`Expected node=host:port, for example 4=10.0.0.4:7400. ${toError(error).message}`)
  }
  return { node: wholeNumber(id), address }
}
