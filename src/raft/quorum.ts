import type { NodeId } from '../base/index.ts'
import type { Configuration } from './types.ts'

// Quorums of a configuration. A joint one (thesis §4.3) has two sets of voters, and whatever is decided needs a majority
// of each: then it overlaps every majority of the old set and every one of the new.

/** The part of a configuration that quorums are made of. */
export type Voters = Pick<Configuration, 'voters' | 'votersOutgoing'>

/** How many of `count` voters make a majority. Any two majorities share a voter: all of Raft's safety rests on that. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1
}

/** True when the voters for which `holds` is true are a quorum. No voters: never true. */
export function hasQuorum({ voters, votersOutgoing }: Voters, holds: (voter: NodeId) => boolean): boolean {
  return hasMajority(voters, holds) && (votersOutgoing.length === 0 || hasMajority(votersOutgoing, holds))
}

/**
 * The highest number that a quorum has reached: with match indexes this is the commit candidate (Figure 2, "Leaders",
 * last rule). 0 when there are no voters.
 */
export function reachedByQuorum({ voters, votersOutgoing }: Voters, reached: (voter: NodeId) => number): number {
  const incoming = reachedByMajority(voters, reached)
  return votersOutgoing.length === 0 ? incoming : Math.min(incoming, reachedByMajority(votersOutgoing, reached))
}

/** How an election stands (§5.2). `lost` means that the votes still out can't make a quorum any more. */
export type Tally = 'won' | 'lost' | 'open'

/** Counts `votes`; answers of nodes that are not voters don't count, and a voter that is silent may still vote. */
export function tally(voters: Voters, votes: ReadonlyMap<NodeId, boolean>): Tally {
  if (hasQuorum(voters, (voter) => votes.get(voter) === true)) return 'won'
  return hasQuorum(voters, (voter) => votes.get(voter) !== false) ? 'open' : 'lost'
}

function hasMajority(voters: readonly NodeId[], holds: (voter: NodeId) => boolean): boolean {
  let count = 0
  for (const voter of voters) if (holds(voter)) count++
  return count >= majorityOf(voters.length)
}

function reachedByMajority(voters: readonly NodeId[], reached: (voter: NodeId) => number): number {
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
