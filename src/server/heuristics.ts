import type { Coordinator } from '../coordinator/index.ts'
import type { TransactionView } from '../txn/index.ts'

/** Open transactions looked through for findings, at most. */
const LOOKED_AT_MAX = 10_000

/** Transactions with a finding. Finished ones with a finding are listed before the other finished ones. */
export function heuristicsOf(coordinator: Pick<Coordinator, 'status' | 'list'>): readonly TransactionView[] {
  const { heuristicCount } = coordinator.status()
  if (heuristicCount === 0) return []
  const finished = coordinator.list({ state: 'completed', limit: heuristicCount })
  const open = coordinator.list({ limit: LOOKED_AT_MAX }).filter((each) => each.state !== 'completed')
  return [...finished, ...open].filter((each) => each.heuristics.length > 0)
}
