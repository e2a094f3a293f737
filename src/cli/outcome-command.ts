import type { Command } from 'commander'
import { parseGid, parseTxid, type Txid } from '../base/index.ts'
import { askLeader } from '../server/asking/index.ts'
import { addCoordinatorOptions, askOptions, type CoordinatorFlags } from './coordinator-option.ts'
import { ExitCode, printJson } from './output.ts'

interface OutcomeFlags extends CoordinatorFlags {
  readonly settle?: boolean
}

const MEANING: Readonly<Record<string, string>> = {
  committed: 'committed',
  preparing: 'votes are being gathered; it will be decided within its deadline',
  unknown:
    'no coordinator has heard of it. Either its application has not asked for a commit yet, or it never will. --settle makes it aborted, for good',
  forgotten: 'it ended long ago and was forgotten: aborted, or committed with every branch acknowledged',
}

/** `concordat outcome TXID`: what became of one transaction. */
export function addOutcomeCommand(program: Command): void {
  addCoordinatorOptions(program.command('outcome'))
    .description('what became of a transaction')
    .argument('<txid>', "a txid, or a branch's gid as a database shows it (cdt_…)")
    .option('--settle', 'decide abort, durably, if no coordinator has heard of it (presumed abort)')
    .action(async (text: string, flags: OutcomeFlags) => {
      const { txid, cluster } = parseTarget(text)
      const found = await askLeader(
        flags.coordinators,
        { method: 'outcome', txid, cluster, settle: flags.settle === true },
        askOptions(flags),
      )
      if (flags.json) printJson({ txid, ...found })
      else console.log(`${txid}: ${describe(found)}`)
      if (found.kind === 'unknown') process.exitCode = ExitCode.failed
    })
}

/** A gid names its cluster: the coordinators then refuse a transaction that is not theirs. */
function parseTarget(text: string): { readonly txid: Txid; readonly cluster: string | undefined } {
  const parts = parseGid(text)
  if (parts !== undefined) return { txid: parts.txid, cluster: parts.cluster }
  return { txid: parseTxid(text), cluster: undefined }
}

function describe(found: {
  readonly kind: string
  readonly reason?: string
  readonly participant?: string | undefined
}): string {
  if (found.kind !== 'aborted') return MEANING[found.kind] ?? found.kind
  return `aborted (${found.reason}${found.participant === undefined ? '' : ` by ${found.participant}`})`
}
