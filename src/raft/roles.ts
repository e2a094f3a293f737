import { assert, type NodeId } from '../base/index.ts'
import type { Core } from './core.ts'
import { refuseForwardedReads } from './forwarded-reads.ts'
import { Leadership } from './leadership.ts'
import { offset } from './positions.ts'
import { refuseReads } from './refusing-reads.ts'
import { type Entry, EntryKind, type Role, type Term } from './types.ts'

// The four roles and the ways between them (Figure 4, with the pre-candidate of thesis §9.6):
//
//   follower --timeout--> preCandidate --quorum would vote--> candidate --quorum voted--> leader
//      ^                      |                                   |                         |
//      +----------------------+-------- higher term, lost --------+------ no quorum --------+

const NO_DATA = new Uint8Array(0)

/** Follows `leader`, or nobody yet, in `term`, which is the present one or a higher one. */
export function becomeFollower(core: Core, term: Term, leader: NodeId | undefined): void {
  const before = { role: core.role, term: core.currentTerm, leader: core.leader }
  const lost = core.leading?.reads
  if (term > core.currentTerm) core.setHardState(term, undefined)
  // Only a change of role draws a new timeout: a candidate with a worse log must not delay those with better ones.
  if (core.role !== 'follower') core.resetElectionTimer()
  core.role = 'follower'
  core.leader = leader
  core.leading = undefined
  core.votes.clear()
  if (before.role !== 'follower' || before.term !== term || before.leader !== leader) announce(core)
  if (lost !== undefined) refuseReads(core, lost)
}

/** A leader of the present term speaks: §5.2, a candidate recognizes it, and no election is due. */
export function hearLeader(core: Core, leader: NodeId): void {
  assert(core.role !== 'leader', 'two nodes lead one term')
  if (core.role !== 'follower' || core.leader !== leader) becomeFollower(core, core.currentTerm, leader)
  core.electionElapsedTicks = 0
}

/** Asks whether an election could be won before it disturbs anybody: term and vote stay as they are (thesis §9.6). */
export function becomePreCandidate(core: Core): void {
  assert(core.leading === undefined, 'a leader does not campaign')
  enterCampaign(core, 'preCandidate')
}

/**
 * §5.2: a candidate increments its term and votes for itself. The vote counts once it is on disk. A campaign begins with
 * a pre-vote, unless the leader itself asks for it.
 */
export function becomeCandidate(core: Core): void {
  assert(core.role === 'preCandidate' || core.role === 'follower', 'nobody campaigns twice in a term')
  core.setHardState((core.currentTerm + 1) as Term, core.nodeId)
  enterCampaign(core, 'candidate')
}

/** §5.2, §8: the winner of the election appends its no-op; replication.ts sends it. */
export function becomeLeader(core: Core): void {
  assert(core.role === 'candidate', 'only a candidate can win')
  const noop: Entry = {
    term: core.currentTerm,
    index: offset(core.log.lastIndex, 1),
    kind: EntryKind.noop,
    data: NO_DATA,
  }
  core.role = 'leader'
  core.leader = core.nodeId
  core.leading = new Leadership(core.options, core.peers, noop.index)
  core.votes.clear()
  core.resetElectionTimer()
  core.heartbeatElapsedTicks = 0
  core.log.append([noop])
  core.outbox.writeEntries([noop])
  announce(core)
}

function enterCampaign(core: Core, role: Role): void {
  core.role = role
  core.leader = undefined
  core.votes.clear()
  core.resetElectionTimer()
  announce(core)
}

function announce(core: Core): void {
  core.outbox.emit({ kind: 'roleChanged', role: core.role, term: core.currentTerm, leader: core.leader })
  refuseForwardedReads(core)
}
