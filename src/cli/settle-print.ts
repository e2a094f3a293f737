import type { ForceAnswer, ForceStanding, InDoubtBranch, SettleAnswer } from '../server/asking/index.ts'
import { stdoutColors } from '../terminal/index.ts'
import type { Decision, Knowledge, Settlement } from '../txn/index.ts'
import { describeBlocked, printDetails } from './in-doubt-print.ts'
import { describeMs, printTable } from './output.ts'
import { describeSettlement, FOUND } from './settle-words.ts'

const DECISION: Readonly<Record<Knowledge['kind'], string>> = {
  committed: 'committed',
  aborted: 'aborted',
  preparing: 'votes are being gathered; it is decided at the transaction’s deadline at the latest',
  unknown: 'no coordinator has heard of it. Before a branch is ended by hand, its abort is decided, durably',
  forgotten: 'it ended long ago. A committed one is only forgotten when no branch is left, so it was aborted',
}

const GUARDED = 'a part of the log was lost, and the decision may have been in it. See: concordat guard'

const STANDING: Readonly<Record<ForceStanding, string>> = {
  asDecided: 'as decided',
  against: 'AGAINST the decision: the transaction would be half done. Needs --against-decision',
  noDecision: 'nobody can say whether that is right. Needs --without-decision',
  tooEarly: 'not now: votes are being gathered',
}

/** Prints what is known of a transaction, before anything is done. */
export function printKnown(known: SettleAnswer): void {
  const { red, bold } = stdoutColors
  console.log(`${bold(known.txid)}: ${known.guarded ? red(GUARDED) : DECISION[known.decision.kind]}${cause(known)}`)
  printBranches(known)
  for (const { resource, error } of known.unseen)
    console.log(red(`${resource} could not be looked at, so there may be more: ${error}`))
  if (known.transaction?.heuristicMixed) console.log(red('MIXED: its branches ended differently'))
  for (const each of known.prepared) {
    if (each.sessions.length + each.tables.length > 0 || each.vacuum?.isOldest)
      printDetails(`branch ${each.branch}`, each)
  }
  if (known.prepared.length > 0) {
    console.log('')
    for (const action of ['commit', 'abort'] as const) printStanding(action, known.forcing[action])
  }
  if (known.settlements.length === 0) return
  console.log('\nDone by hand so far:')
  printSettlements(known.settlements)
}

/** Prints what operators did by hand. */
export function printSettlements(settlements: readonly Settlement[]): void {
  if (settlements.length === 0) {
    console.log('nothing was settled by hand')
    return
  }
  printTable(
    ['WHEN', 'TXID', 'BRANCH', 'DONE', 'WHO', 'WHY'],
    settlements.map((each) => [
      new Date(each.atMs).toISOString(),
      each.txid,
      String(each.branch),
      describeSettlement(each),
      each.by,
      each.reason,
    ]),
  )
}

/** Prints what came of it. */
export function printForced({ settlement, unasked }: ForceAnswer): void {
  const { txid, branch, standing } = settlement
  const line = `\nbranch ${branch} of ${txid}: ${describeSettlement(settlement)}. It is in the log, with who and why.`
  console.log(standing === 'asDecided' ? line : stdoutColors.red(line))
  if (standing !== 'asDecided')
    console.log(`It is shown until somebody says: concordat settle ${txid} --acknowledge --reason "…"`)
  if (unasked.length > 0)
    console.log(
      `Not asked for their release, because they do not answer: ${unasked.join(', ')}. One before 0.3 stops at this record: upgrade it.`,
    )
}

function cause({ decision }: SettleAnswer): string {
  if (decision.kind !== 'aborted') return ''
  return ` (${decision.reason}${decision.participant === undefined ? '' : ` by ${decision.participant}`})`
}

function printStanding(action: Decision, standing: ForceStanding): void {
  const line = `To ${action} a branch is ${STANDING[standing]}`
  console.log(standing === 'asDecided' ? line : stdoutColors.red(line))
}

function printBranches(known: SettleAnswer): void {
  const numbers = new Set([
    ...(known.transaction?.branches ?? []).map(({ branch }) => branch as number),
    ...known.prepared.map(({ branch }) => branch),
    ...(known.transaction?.heuristics ?? []).map(({ branch }) => branch as number),
  ])
  if (numbers.size === 0) {
    console.log('No branch of it is known, and none is prepared in the configured databases.')
    return
  }
  printTable(
    ['BRANCH', 'PARTICIPANT', 'VOTE', 'STATE', 'AGE', 'BLOCKS'],
    [...numbers].sort((a, b) => a - b).map((number) => row(number, known)),
  )
}

function row(number: number, { transaction, prepared, ended, settlements }: SettleAnswer): readonly string[] {
  const record = transaction?.branches.find(({ branch }) => branch === number)
  const held = prepared.find(({ branch }) => branch === number)
  const finding = transaction?.heuristics.find(({ branch }) => branch === number)
  const proof = ended.find(({ branch }) => branch === number)?.evidence
  const byHand = settlements.findLast((each) => each.branch === number && each.action !== 'acknowledge')?.found
  const state = stateOf(held, byHand, finding?.found, proof, record?.vote)
  return [
    String(number),
    held?.resource ?? record?.participant ?? '?',
    record === undefined ? '?' : (record.vote ?? 'not in the log'),
    state,
    held === undefined ? '-' : `${held.ageIsBound ? '< ' : ''}${describeMs(held.ageMs)}`,
    held === undefined ? '-' : describeBlocked(held),
  ]
}

function stateOf(
  held: InDoubtBranch | undefined,
  byHand: keyof typeof FOUND | undefined,
  found: keyof typeof FOUND | undefined,
  proof: 'committed' | 'aborted' | 'none' | undefined,
  vote: string | undefined,
): string {
  if (held !== undefined) return 'prepared'
  if (vote === 'readOnly') return 'read only: nothing to end'
  if (byHand !== undefined && byHand !== 'none') return `${FOUND[byHand]} (by hand)`
  if (found !== undefined) return `${FOUND[found]} (found so)`
  if (proof === undefined) return 'not seen: ended, or in no configured database'
  return proof === 'none' ? 'ended; its database can’t prove how' : `${FOUND[proof]} (proven by its database)`
}
