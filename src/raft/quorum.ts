import type { NodeId } from '../base/index.ts'

// Functions of a set of voters that is passed in: a joint configuration (thesis §4.3) will ask two sets and combine
// the answers, and nothing here has to change for it.

/** How many of `count` voters make a majority. Any two majorities share a voter: all of Raft's safety rests on that. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1
}

/** True when the voters for which `holds` is true are a majority. No voters: never true. */
export function hasQuorum(voters: readonly NodeId[], holds: (voter: NodeId) => boolean): boolean {
  let count = 0
  for (const voter of voters) if (holds(voter)) count++
  return count >= majorityOf(voters.length)
}

/**
 * The highest number that a majority has reached: at least `majorityOf(voters)` of them have a value of this or more.
 * With match indexes this is the commit candidate (Figure 2, "Leaders", last rule). 0 when there are no voters.
 */
export function reachedByQuorum(voters: readonly NodeId[], reached: (voter: NodeId) => number): number {
  if (voters.length === 0) return 0
  // Insertion into a descending array: groups have three to seven voters, and this runs for every acknowledgement.
  const descending: number[] = []
  for (const voter of voters) {
    const value = reached(voter)
    let at = descending.length
    while (at > 0 && descending[at - 1]! < value) at--
    descending.splice(at, 0, value)
  }
  return descending[majorityOf(voters.length) - 1]!
}

/** How an election stands (§5.2). `lost` means that the votes still out can't make a majority any more. */
export type Tally = 'won' | 'lost' | 'open'

/** Counts `votes`; answers of nodes that are not voters don't count, and a voter that is silent may still vote. */
export function tally(voters: readonly NodeId[], votes: ReadonlyMap<NodeId, boolean>): Tally {
  if (hasQuorum(voters, (voter) => votes.get(voter) === true)) return 'won'
  return hasQuorum(voters, (voter) => votes.get(voter) !== false) ? 'open' : 'lost'
}
