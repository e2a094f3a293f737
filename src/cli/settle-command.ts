import { hostname, userInfo } from 'node:os'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type BranchId, ConcordatError, parseBranchId, parseGid, parseTxid, type Txid, toError } from '../base/index.ts'
import { assertMeant, type ForceAnswer, type Meant, type SettleAnswer } from '../server/asking/index.ts'
import type { Decision } from '../txn/index.ts'
import { askTerminal, isAtTerminal } from './ask-terminal.ts'
import { confirmWords } from './confirmation.ts'
import { addCoordinatorOptions, askOptions, type CoordinatorFlags, wholeNumber } from './coordinator-option.ts'
import { ReasonMissingError } from './force-option.ts'
import { ExitCode, printJson } from './output.ts'
import { insist } from './patience.ts'
import { printForced, printKnown, printSettlements } from './settle-print.ts'

interface SettleFlags extends CoordinatorFlags {
  readonly branch?: BranchId
  readonly commit?: boolean
  readonly abort?: boolean
  readonly acknowledge?: boolean
  readonly reason?: string
  readonly by?: string
  readonly yes?: boolean
  readonly againstDecision?: boolean
  readonly withoutDecision?: boolean
  readonly limit: number
}

interface Target {
  readonly txid: Txid
  readonly branch: BranchId | undefined
  readonly cluster: string | undefined
}

/** The flags of `settle` don't fit together. */
export class SettleCallError extends ConcordatError {
  readonly code = 'SETTLE_CALL_INVALID'
}

/** The share of `--timeout` that the leader may spend on a database, and then on its log. */
const WAIT_SHARE = 0.4

/** Forcing looks, writes, ends the branch and writes again: it may take as many times `--timeout`. */
const STEPS = 4

/** `concordat settle`: a branch is ended by hand. */
export function addSettleCommand(program: Command): void {
  addCoordinatorOptions(program.command('settle'))
    .description('shows what is known of a transaction, and ends one of its branches by hand')
    .argument('[txid]', "a txid, or a branch's gid as a database shows it (cdt_…); without it: what was settled so far")
    .addOption(new Option('--branch <n>', 'which branch to end').argParser(branchNumber))
    .addOption(new Option('--commit', 'commit that branch').conflicts(['abort', 'acknowledge']))
    .addOption(new Option('--abort', 'roll that branch back').conflicts(['commit', 'acknowledge']))
    .option('--acknowledge', 'what ended otherwise than decided has been seen to, and is shown no more')
    .option('--reason <text>', 'why; goes into the replicated log')
    .option('--by <name>', 'who settles it; goes into the replicated log (default: this user at this machine)')
    .option('--yes', 'do not ask, for scripts')
    .addOption(
      new Option('--limit <n>', 'without a transaction: so many of the latest').default(50).argParser(wholeNumber),
    )
    .option('--against-decision', 'the branch is meant to end otherwise than its transaction was decided')
    .option('--without-decision', 'the decision is lost with a part of the log, and is known from elsewhere')
    .action(async (text: string | undefined, flags: SettleFlags) => {
      if (text === undefined) return await list(flags)
      const target = parseTarget(text, flags.branch)
      const action = actionOf(flags)
      if (flags.acknowledge) await acknowledge(target, flags)
      else if (action === undefined) await show(target, flags)
      else await force(target, action, flags)
    })
}

async function list(flags: SettleFlags): Promise<void> {
  if (actionOf(flags) !== undefined || flags.acknowledge)
    throw new SettleCallError('name the transaction: a txid or a gid')
  const answer = await insist(
    flags.coordinators,
    { method: 'settle.list', limit: flags.limit },
    askOptions(flags),
    patienceOf(flags),
  )
  if (flags.json) printJson(answer.settlements)
  else printSettlements(answer.settlements)
}

async function show(target: Target, flags: SettleFlags): Promise<void> {
  const known = await ask(target, flags)
  if (flags.json) printJson(known)
  else printKnown(known)
  if (known.unseen.length > 0) process.exitCode = ExitCode.failed
}

async function force(target: Target, action: Decision, flags: SettleFlags): Promise<void> {
  const { txid, branch } = target
  if (branch === undefined) throw new SettleCallError('say which branch: --branch N. concordat settle TXID lists them')
  const known = await ask(target, flags)
  if (!flags.json) printKnown(known)
  const mean = meantBy(flags)
  // The leader compares as well. Here it spares a question that could only be answered with no.
  assertMeant({ ...known, txid }, action, mean)
  const reason = await reasonOf(flags, `${action} branch ${branch}`)
  await confirmWords(wordsFor(known, branch, action), flags.yes === true)
  const question = { method: 'settle.force', txid, branch, action, mean, by: whoIs(flags), reason } as const
  const options = { ...askOptions(flags), timeoutMs: flags.timeout * STEPS }
  const answer = await insist(flags.coordinators, { ...question, waitMs: waitMs(flags) }, options, patienceOf(flags))
  if (flags.json) printJson({ ...answer, before: known })
  else printForced(answer)
  if (!isAsOrdered(answer)) process.exitCode = ExitCode.failed
}

async function acknowledge({ txid }: Target, flags: SettleFlags): Promise<void> {
  const reason = await reasonOf(flags, 'acknowledge how it ended')
  const question = { method: 'settle.acknowledge', txid, by: whoIs(flags), reason } as const
  const answer = await insist(flags.coordinators, question, askOptions(flags), patienceOf(flags))
  if (flags.json) printJson(answer.settlements)
  else printSettlements(answer.settlements)
}

async function ask({ txid, cluster }: Target, flags: SettleFlags): Promise<SettleAnswer> {
  const question = { method: 'settle', txid, cluster, waitMs: waitMs(flags) } as const
  return await insist(flags.coordinators, question, askOptions(flags), patienceOf(flags))
}

/** What has to be typed: it names what is about to happen, so that nobody does it by habit. */
function wordsFor({ prepared, forcing }: SettleAnswer, branch: BranchId, action: Decision): string {
  const resource = prepared.find((each) => each.branch === branch)?.resource
  const what = resource === undefined ? `${action} branch ${branch}` : `${action} ${resource}`
  return forcing[action] === 'against' ? `${what} against the decision` : what
}

function isAsOrdered({ settlement: { action, found } }: ForceAnswer): boolean {
  return found === (action === 'commit' ? 'committed' : 'aborted')
}

function parseTarget(text: string, branch: BranchId | undefined): Target {
  const parts = parseGid(text)
  if (parts === undefined) return { txid: parseTxid(text), branch, cluster: undefined }
  if (branch !== undefined && branch !== parts.branch)
    throw new SettleCallError(`that gid is branch ${parts.branch}, and --branch says ${branch}; leave one of them out`)
  return { txid: parts.txid, branch: parts.branch, cluster: parts.cluster }
}

function actionOf({ commit, abort }: SettleFlags): Decision | undefined {
  if (commit) return 'commit'
  return abort ? 'abort' : undefined
}

function meantBy({ againstDecision, withoutDecision }: SettleFlags): Meant {
  if (againstDecision) return 'againstDecision'
  return withoutDecision ? 'withoutDecision' : 'asDecided'
}

async function reasonOf({ reason }: SettleFlags, what: string): Promise<string> {
  const typed = (reason ?? (isAtTerminal() ? await askTerminal(`Why is it right to ${what}? `) : '')).trim()
  if (typed === '') throw new ReasonMissingError('say why with --reason "…": it goes into the replicated log')
  return typed
}

function whoIs({ by }: SettleFlags): string {
  if (by !== undefined && by.trim() !== '') return by.trim()
  return `${userName()}@${hostname()}`
}

/** A container's user may have no name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? '?'}`
  }
}

function waitMs({ timeout }: SettleFlags): number {
  return Math.min(60_000, Math.max(1, Math.floor(timeout * WAIT_SHARE)))
}

/** An election takes less than that. A question that was answered and is asked again changes nothing. */
function patienceOf({ timeout }: SettleFlags) {
  return { unreachableMs: timeout, refusedMs: 0 }
}

function branchNumber(text: string): BranchId {
  try {
    return parseBranchId(/^\d+$/.test(text) ? Number(text) : Number.NaN)
  } catch (error) {
    throw new InvalidArgumentError(toError(error).message)
  }
}
