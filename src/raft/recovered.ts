import { NO_INDEX, NO_TERM, type RecoveredState } from './types.ts'

/** What a node finds on a new, empty disk. */
export function emptyState(): RecoveredState {
  return {
    hardState: { currentTerm: NO_TERM, votedFor: undefined, commitIndex: NO_INDEX },
    baseIndex: NO_INDEX,
    baseTerm: NO_TERM,
    termRuns: [],
    lastIndex: NO_INDEX,
    lastApplied: NO_INDEX,
    doubtful: false,
  }
}
