import type { InDoubtAnswer, InDoubtBranch, InDoubtResource } from '../server/asking/index.ts'
import { stdoutColors } from '../terminal/index.ts'
import { describeMs, printTable } from './output.ts'
import { describeFinding, describeSettlement } from './settle-words.ts'

type Blocked = Pick<InDoubtBranch, 'sessions' | 'sessionCount' | 'tables' | 'tableCount'>

/** What comes of a branch, by what is known of its transaction. */
const MEANING: Readonly<Record<InDoubtBranch['decision']['kind'], string>> = {
  committed: 'decided; the coordinators commit the branch as soon as its database and its session let them',
  aborted: 'decided; the coordinators roll the branch back as soon as its database and its session let them',
  preparing: 'votes are being gathered; it is decided at the transaction’s deadline at the latest',
  unknown:
    'no coordinator has heard of it. After the grace time abort is decided, durably, and the branch is rolled back',
  forgotten: 'ended long ago. A committed one is only forgotten when no branch is left, so this one is rolled back',
}

const GUARDED =
  'a part of the log was lost, and the decision may have been in it: nothing is decided. See: concordat guard'

const NO_RESOURCES =
  'No databases are configured (no `resources`): nobody looks for branches that an application leaves behind, and nobody settles them. See: docs/reference/configuration.md'

/** A branch that is older is worth a closer look, even if nobody waits for it yet. */
const DETAILS_FROM_MS = 5_000

/** Prints it for people: branches, what they block, and what each database has left. */
export function printInDoubt(answer: InDoubtAnswer): void {
  const { red } = stdoutColors
  if (!answer.current)
    console.log(
      red(
        `No leader answers. This is what node ${answer.node} sees: what it calls committed or aborted is final, anything else may be out of date.\n`,
      ),
    )
  if (answer.resources.length === 0) {
    console.log(red(NO_RESOURCES))
    printAttention(answer)
    return
  }
  if (answer.branches.length === 0) console.log('nothing is in doubt')
  else printBranches(answer)
  printUnattributed(answer.resources)
  console.log('')
  printResources(answer.resources)
  printAttention(answer)
}

/** What ended otherwise than decided stays here until somebody has seen to it. */
function printAttention({ attention }: InDoubtAnswer): void {
  if (attention === undefined || attention.transactions.length + attention.settlements.length === 0) return
  const { bold, red } = stdoutColors
  console.log(`\n${bold('Not as decided, and not acknowledged')} (concordat settle TXID --acknowledge --reason "…")`)
  const forced = new Set(attention.settlements.map(({ txid, branch }) => `${txid}/${branch}`))
  for (const each of attention.settlements)
    console.log(red(`  ${each.txid} branch ${each.branch}: ${describeSettlement(each)}, by ${each.by}: ${each.reason}`))
  for (const { txid, heuristics, heuristicMixed } of attention.transactions) {
    for (const { branch, found } of heuristics) {
      if (!forced.has(`${txid}/${branch}`))
        console.log(red(`  ${txid} branch ${branch}: ${describeFinding(found)}${heuristicMixed ? ' (MIXED)' : ''}`))
    }
  }
}

function printBranches({ branches, branchCount }: InDoubtAnswer): void {
  printTable(
    ['TXID', 'BRANCH', 'RESOURCE', 'AGE', 'KNOWN AS', 'BLOCKS'],
    branches.map((each) => [
      each.txid,
      String(each.branch),
      each.resource,
      `${each.ageIsBound ? '< ' : ''}${describeMs(each.ageMs)}`,
      `${each.decision.kind}${each.guarded ? ' (guarded)' : ''}`,
      describeBlocked(each),
    ]),
  )
  if (branchCount > branches.length) console.log(`… and ${branchCount - branches.length} younger ones (--limit)`)
  for (const each of branches) if (hasDetails(each)) printDetails(`${each.txid}, branch ${each.branch}`, each)
  console.log('')
  printMeanings(branches)
}

/** What is blocked, in a few words. */
export function describeBlocked({ sessionCount, tableCount }: Blocked): string {
  const parts = [
    ...(sessionCount === 0 ? [] : [count(sessionCount, 'session')]),
    ...(tableCount === 0 ? [] : [count(tableCount, 'table')]),
  ]
  return parts.length === 0 ? '-' : parts.join(', ')
}

/** Under load there are always young branches that harm nobody: a row of the table is enough for them. */
function hasDetails({ sessionCount, tables, vacuum, ageMs }: InDoubtBranch): boolean {
  if (sessionCount > 0) return true
  return ageMs >= DETAILS_FROM_MS && (tables.length > 0 || vacuum?.isOldest === true)
}

/** Locks, vacuum and waiting sessions, one line each. */
export function printDetails(title: string, what: Blocked & Partial<Pick<InDoubtBranch, 'vacuum' | 'owner'>>): void {
  console.log(`\n${stdoutColors.bold(title)}${what.owner === undefined ? '' : ` (prepared by ${what.owner})`}`)
  const more = (total: number, listed: number): string => (total > listed ? ` … and ${total - listed} more` : '')
  if (what.tables.length > 0) {
    const names = what.tables.map(({ name, mode }) => `${name} (${mode})`).join(', ')
    console.log(`  locks     ${names}${more(what.tableCount, what.tables.length)}`)
  }
  if (what.vacuum?.isOldest === true)
    console.log(`  vacuum    nothing holds it back further; ${what.vacuum.xids} transaction ids given out since`)
  for (const { id, user, client, waitMs, waitsFor, behind, statement } of what.sessions) {
    const who = [user, client].filter((each) => each !== undefined).join('@')
    const since = waitMs === undefined ? '' : `${describeMs(waitMs)} `
    const place = behind === undefined ? `for ${waitsFor}` : `behind session ${behind} for ${waitsFor}`
    console.log(`  waiting   session ${id}${who === '' ? '' : ` (${who})`}: ${since}${place}`)
    if (statement !== undefined) console.log(`            ${stdoutColors.dim(statement)}`)
  }
  if (what.sessionCount > what.sessions.length)
    console.log(`           ${more(what.sessionCount, what.sessions.length)} sessions`)
}

function printMeanings(branches: readonly InDoubtBranch[]): void {
  for (const [kind, meaning] of Object.entries(MEANING)) {
    if (branches.some(({ decision, guarded }) => decision.kind === kind && !guarded)) console.log(`${kind}: ${meaning}`)
  }
  if (branches.some(({ guarded }) => guarded)) console.log(stdoutColors.red(`guarded: ${GUARDED}`))
  if (branches.some(({ ageIsBound }) => ageIsBound))
    console.log('AGE <: the database keeps no time; the transaction was begun so long ago, by its client’s clock')
}

function printUnattributed(resources: readonly InDoubtResource[]): void {
  for (const { name, unattributed } of resources) {
    if (unattributed.sessionCount + unattributed.tableCount > 0)
      printDetails(
        `${name}, one or another of its prepared branches (it does not say which): ${describeBlocked(unattributed)}`,
        unattributed,
      )
  }
}

function printResources(resources: readonly InDoubtResource[]): void {
  printTable(
    ['RESOURCE', 'KIND', 'IN DOUBT', 'SLOTS USED', 'LEFT', 'NOT OURS', 'STATE'],
    resources.map(({ name, kind, inDoubt, slots, foreign, error, resolverError }) => [
      name,
      kind,
      error === undefined ? String(inDoubt) : '?',
      slots === undefined ? '-' : `${slots.used} of ${slots.max}`,
      slots === undefined ? '-' : String(Math.max(0, slots.max - slots.used)),
      error === undefined ? String(foreign.here + foreign.elsewhere) : '?',
      error ?? resolverError ?? 'ok',
    ]),
  )
  for (const { name, notes } of resources) for (const note of notes) console.log(`${name}: ${note}`)
}

function count(n: number, word: string): string {
  return `${n} ${word}${n === 1 ? '' : 's'}`
}
