import type { Txid } from '../base/index.ts'
import { isMixed } from './heuristics.ts'
import type { LedgerState, NotedTransaction, OpenTransaction } from './state.ts'
import type { Outcome, TransactionView } from './types.ts'

/** What `Ledger.list` gives back. */
export interface ListFilter {
  /** Only transactions in this state; all when left out. */
  readonly state?: TransactionView['state'] | undefined
  /** At most so many. There may be a million finished ones. */
  readonly limit: number
}

/** The transaction as operators see it; undefined when it is unknown or forgotten. */
export function viewOf(state: LedgerState, txid: Txid): TransactionView | undefined {
  const open = state.open.get(txid)
  if (open !== undefined) return viewOfOpen(open)
  const noted = state.noted.get(txid)
  if (noted !== undefined) return viewOfNoted(noted)
  const entry = state.finished.get(txid)
  return entry === undefined ? undefined : viewOfFinished(txid, state.words.unpack(entry.word))
}

/**
 * Open ones in the order of their records, then those that wait for an operator, then finished ones, the newest eight
 * seconds first. What holds locks or needs a person comes before what is only history.
 */
export function listViews(state: LedgerState, filter: ListFilter): TransactionView[] {
  const views: TransactionView[] = []
  for (const open of state.open.values()) {
    if (views.length >= filter.limit) return views
    if (filter.state === undefined || filter.state === stateOfOpen(open)) views.push(viewOfOpen(open))
  }
  if (filter.state !== undefined && filter.state !== 'completed') return views
  for (const noted of state.noted.values()) {
    if (views.length >= filter.limit) return views
    views.push(viewOfNoted(noted))
  }
  if (views.length < filter.limit) addFinished(state, filter.limit, views)
  return views
}

function addFinished(state: LedgerState, limit: number, views: TransactionView[]): void {
  state.finished.visit(({ txid, word }) => {
    // A noted one is in the table too, and was listed before.
    if (!state.noted.has(txid)) views.push(viewOfFinished(txid, state.words.unpack(word)))
    return views.length < limit
  })
}

function stateOfOpen({ outcome }: OpenTransaction): TransactionView['state'] {
  return outcome === undefined ? 'preparing' : outcome.kind
}

function viewOfOpen(open: OpenTransaction): TransactionView {
  const { txid, outcome, branches, findings } = open
  return {
    txid,
    state: stateOfOpen(open),
    outcome,
    branches,
    heuristics: findings,
    heuristicMixed: isMixed(outcome, findings),
  }
}

function viewOfNoted({ txid, outcome, branches, findings }: NotedTransaction): TransactionView {
  return {
    txid,
    state: 'completed',
    outcome,
    branches,
    heuristics: findings,
    heuristicMixed: isMixed(outcome, findings),
  }
}

function viewOfFinished(txid: Txid, outcome: Outcome): TransactionView {
  return { txid, state: 'completed', outcome, branches: [], heuristics: [], heuristicMixed: false }
}
