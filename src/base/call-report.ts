import { BRANCHES_MAX, type BranchId, type Txid } from './ids.ts'
import { isParticipantName } from './participant-name.ts'

/** The header of the answer in which a called service reports what it joined. */
export const REPORT_HEADER = 'concordat-joined'

/** A branch that a call brought into the transaction. */
export interface ReportedBranch {
  readonly branch: BranchId
  readonly kind: 'service' | 'kv'
  /** Who is asked for its vote. */
  readonly participant: string
}

/** What a called service tells its caller. */
export interface CallReport {
  readonly txid: Txid
  /** The number of the call's ticket. */
  readonly call: number
  /** `failed`: what the service itself did is rolled back. */
  readonly state: 'joined' | 'failed'
  /** When joined: all that the commit must cover. When failed: what others may have joined, for the abort to reach. */
  readonly branches: readonly ReportedBranch[]
}

/** The longest report that is read: 64 branches with the longest names fit. */
const CHARACTERS_MAX = 6_000

/** `j1;txid;call;state;branches`, each branch `number:s|k:participant`, with commas between. */
const REPORT = /^j1;([0-9a-f-]{36});(\d{1,7});(joined|failed);(.*)$/
const BRANCH = /^(\d{1,2}):([sk]):(.+)$/

/** A report as text; see `parseCallReport`. */
export function formatCallReport({ txid, call, state, branches }: CallReport): string {
  const list = branches.map(({ branch, kind, participant }) => `${branch}:${kind[0]}:${participant}`)
  return `j1;${txid};${call};${state};${list.join(',')}`
}

/** The report, or undefined when `text` is none: the caller then knows nothing of what the call did. */
export function parseCallReport(text: string): CallReport | undefined {
  const match = text.length > CHARACTERS_MAX ? null : REPORT.exec(text)
  if (match === null) return undefined
  const [, txid, call, state, list] = match as unknown as [string, string, string, CallReport['state'], string]
  const branches: ReportedBranch[] = []
  for (const part of list === '' ? [] : list.split(',')) {
    const [, number = '', kind, participant = ''] = BRANCH.exec(part) ?? []
    if (number === '' || Number(number) >= BRANCHES_MAX || !isParticipantName(participant)) return undefined
    branches.push({ branch: Number(number) as BranchId, kind: kind === 's' ? 'service' : 'kv', participant })
  }
  return { txid: txid as Txid, call: Number(call), state, branches }
}
