import type { OpenBranch } from './branch-table.ts'
import type { BranchKey } from './keys.ts'

/** A branch that has not ended here, for status pages. */
export interface OpenBranchView extends BranchKey {
  /** `joined`: not asked for its vote; `inDoubt`: it voted and hears no decision; `ending`: the decision is being carried out. */
  readonly state: 'joined' | 'preparing' | 'inDoubt' | 'ending'
}

/** An open branch as status pages see it. */
export function viewOf({ key, phase }: OpenBranch): OpenBranchView {
  return { ...key, state: phase === 'voted' ? 'inDoubt' : phase }
}
