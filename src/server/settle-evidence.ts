import type { Knowledge, TransactionView } from '../txn/index.ts'
import type { InDoubtBranch } from './in-doubt-view.ts'

/** The longest text that goes into a record. */
const CHARACTERS_MAX = 4_000

/** Names of tables that are written down, at most. */
const TABLES_MAX = 10

interface Known {
  readonly node: number
  /** Whether the operator said that it is meant against the decision, or without one. */
  readonly mean: string
  readonly decision: Knowledge
  readonly guarded: boolean
  readonly view: TransactionView | undefined
  readonly found: InDoubtBranch
  readonly prepared: readonly InDoubtBranch[]
}

/** What was known in the moment of the order, as one line of JSON. It holds no data of applications, no statement, no user. */
export function evidenceText({ node, mean, decision, guarded, view, found, prepared }: Known): string {
  const branches = view?.branches.map(({ branch, kind, participant, vote }) => ({ branch, kind, participant, vote }))
  const known = {
    node,
    mean,
    decision,
    guarded,
    resource: found.resource,
    ageMs: found.ageMs,
    ageIsBound: found.ageIsBound,
    sessions: found.sessionCount,
    tables: found.tables.slice(0, TABLES_MAX).map(({ name }) => name),
    vacuum: found.vacuum,
    alsoPrepared: prepared.filter((each) => each !== found).map(({ branch, resource }) => ({ branch, resource })),
  }
  const whole = JSON.stringify({ ...known, branches })
  // 64 branches with the longest names: then without them rather than cut in the middle.
  return whole.length <= CHARACTERS_MAX ? whole : JSON.stringify(known).slice(0, CHARACTERS_MAX)
}

/** The database that an order named, out of its evidence. */
export function resourceIn(evidence: string): string | undefined {
  try {
    const { resource } = JSON.parse(evidence) as { readonly resource?: unknown }
    return typeof resource === 'string' ? resource : undefined
  } catch {
    return undefined
  }
}
