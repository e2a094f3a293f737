import { type NodeId, unreachable } from '../base/index.ts'
import { commitTo } from './commit.ts'
import { votersOf } from './configuration.ts'
import type { Core } from './core.ts'
import { hasQuorum, tally } from './quorum.ts'
import { tendRebuilding } from './rebuilding.ts'
import { broadcastAppend } from './replication.ts'
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from './roles.ts'
import type { LogIndex, RaftMessage, RequestVote, RequestVoteResponse, Term, TimeoutNow } from './types.ts'

/** A tick on a node that does not lead: without a leader's word for a whole timeout, it campaigns (§5.2). */
export function tickElection(core: Core): void {
  core.electionElapsedTicks++
  if (core.electionElapsedTicks < core.randomizedTimeoutTicks) askAgain(core)
  else if (mayCampaign(core)) campaign(core)
  // Not from zero: that would count as having heard the leader, and this node would protect a dead one (§4.2.3).
  else core.expectElectionWithin(core.options.electionTimeoutTicks)
}

/**
 * §5.1: requests without an answer are repeated. Whoever heard the leader just before us did not even answer our
 * pre-vote, and would grant it now; without this its word would cost the group another timeout.
 */
function askAgain(core: Core): void {
  const { role, votes, options } = core
  if (role === 'follower' || core.electionElapsedTicks % options.heartbeatTicks !== 0) return
  // A candidate's first requests wait for its own vote to be on disk, and so must these.
  if (role === 'candidate' && !core.isHardStateDurable) return
  const isPreVote = role === 'preCandidate'
  const term = isPreVote ? ((core.currentTerm + 1) as Term) : core.currentTerm
  for (const message of voteRequests(core, isPreVote, term, false)) {
    if (!votes.has(message.to)) core.outbox.send(message)
  }
}

/**
 * True when this node may stand for election. Not a learner, nor a removed node; not one in doubt (doubt.ts); not one
 * whose log is being replaced by a snapshot.
 *
 * And not before all that it knows to be committed is applied: there may be a configuration among it. A configuration is
 * proposed only when the one before is applied by a leader, and whoever has its entry knows that the one before is
 * committed. So a candidate that has applied what it knows is at most one configuration behind any other node, and the
 * quorums of neighbours overlap. Two behind, they need not (etcd-io/raft: hup() refuses with unapplied changes).
 */
export function mayCampaign(core: Core): boolean {
  const isInstalling = core.installing !== undefined
  return core.isVoter && !core.isDoubtful && !isInstalling && core.lastApplied === core.commitIndex
}

/**
 * The connection to the leader broke: most likely its process is gone, which its machine says at once. The election
 * comes soon, spread over half a timeout, instead of after the whole silence of §5.2. When only our own way to the leader
 * broke, the others still hear it, refuse the pre-vote (thesis §4.2.3), and nothing is disturbed.
 */
export function onLeaderUnreachable(core: Core, peer: NodeId): void {
  const { electionTimeoutTicks } = core.options
  if (core.role !== 'follower' || core.leader !== peer) return
  if (core.electionElapsedTicks < electionTimeoutTicks) core.expectElectionWithin(Math.ceil(electionTimeoutTicks / 2))
}

/** Thesis §6.2: a leader that no quorum answered within an election timeout steps down; a newer one may exist. */
export function tickCheckQuorum(core: Core): void {
  core.electionElapsedTicks++
  if (core.electionElapsedTicks < core.options.electionTimeoutTicks || core.leading === undefined) return
  const { leading } = core
  const isActive = (voter: NodeId) => voter === core.nodeId || leading.isActive(voter)
  if (!hasQuorum(core.configuration, isActive)) {
    becomeFollower(core, core.currentTerm, undefined)
    return
  }
  core.electionElapsedTicks = 0
  tendRebuilding(core, leading)
  leading.beginPeriod(core.log.lastIndex)
}

/**
 * A message of a higher term came (§5.1). Enters that term where the rules say so.
 * @returns false when the message must be ignored altogether
 */
export function meetHigherTerm(core: Core, message: RaftMessage): boolean {
  switch (message.kind) {
    case 'requestVote':
      // Thesis §4.2.3: whoever hears a live leader does not help to depose it, and does not even take the term, unless
      // that leader asked for the campaign (thesis §3.10). And whoever knows that the sender was removed for good is not
      // disturbed by it at all.
      if ((hearsLeader(core) && !message.leadershipTransfer) || core.configuration.retired.includes(message.from))
        return false
      // A pre-vote is a question about a term that does not exist yet.
      if (!message.preVote) becomeFollower(core, message.term, undefined)
      return true
    case 'requestVoteResponse':
      // A granted pre-vote answers with the term that was asked about.
      if (!(message.preVote && message.voteGranted)) becomeFollower(core, message.term, undefined)
      return true
    case 'appendEntries':
    case 'installSnapshot':
    case 'timeoutNow':
      // Only the leader of a term says this.
      becomeFollower(core, message.term, message.from)
      return true
    case 'appendEntriesResponse':
    case 'installSnapshotResponse':
    case 'readIndex':
    case 'readIndexResponse':
      becomeFollower(core, message.term, undefined)
      return true
    default:
      return unreachable(message)
  }
}

/** The leader wants this node to lead: it campaigns at once, for whoever it would disturb has asked for it (thesis §3.10). */
export function onTimeoutNow(core: Core, message: TimeoutNow): void {
  if (message.term < core.currentTerm || core.role !== 'follower' || !mayCampaign(core)) return
  requestVotes(core, true)
}

/** RequestVote RPC, receiver's side (Figure 2), and its pre-vote. */
export function onRequestVote(core: Core, request: RequestVote): void {
  // A refusal carries our term, so that an outdated candidate learns it (Figure 2, RequestVote, rule 1).
  if (!wouldVoteFor(core, request)) core.outbox.respond(answer(core, request, core.currentTerm, false))
  else if (request.preVote) core.outbox.respond(answer(core, request, request.term, true))
  else grantVote(core, request)
}

function grantVote(core: Core, request: RequestVote): void {
  if (core.votedFor === request.from) {
    // A repeated request. While the vote is on its way to the disk, its answer is already queued behind the write.
    if (core.isHardStateDurable) core.outbox.send(answer(core, request, core.currentTerm, true))
    return
  }
  core.setHardState(core.currentTerm, request.from)
  core.resetElectionTimer()
  core.outbox.sendOnceWritten(answer(core, request, core.currentTerm, true))
}

/** RequestVote RPC, the candidate's side (§5.2). */
export function onRequestVoteResponse(core: Core, response: RequestVoteResponse): void {
  const { preVote, voteGranted, committed } = response
  if (core.role !== (preVote ? 'preCandidate' : 'candidate')) return
  // Also from a node in an earlier term: a pre-vote does not bring it into ours, so no answer of its ever would be.
  if (committed !== undefined && takeWordOfCommit(core, committed)) return
  // An answer to an earlier pre-vote says nothing about this one, unless it is a refusal in our term.
  if (response.term !== (preVote && voteGranted ? core.currentTerm + 1 : core.currentTerm)) return
  recordVote(core, response.from, voteGranted)
}

/**
 * A node without a vote was asked for one, so its configuration is another than ours. If it knows of a commit that we have
 * the entry of, that is a fact like any other (Log Matching, §5.3), and a new configuration may be part of it: the
 * campaign ends, and the next one goes by what is in force. Without this, of two voters the one that stays could need
 * the vote of the one that was removed: that one's log may be the longer one, and it does not campaign.
 * (tikv/raft-rs: maybe_commit_by_vote)
 *
 * @returns true when there was something to learn
 */
function takeWordOfCommit(core: Core, { index, term }: { readonly index: LogIndex; readonly term: Term }): boolean {
  if (index <= core.commitIndex || !core.log.matches(index, term)) return false
  becomeFollower(core, core.currentTerm, undefined)
  commitTo(core, index)
  return true
}

/** A write completed. If it held a candidate's vote for itself, that vote counts now, and not earlier. */
export function onHardStateDurable(core: Core): void {
  if (core.role !== 'candidate' || core.votes.has(core.nodeId) || !core.isHardStateDurable) return
  recordVote(core, core.nodeId, true)
}

function campaign(core: Core): void {
  becomePreCandidate(core)
  for (const message of voteRequests(core, true, (core.currentTerm + 1) as Term, false)) core.outbox.send(message)
  recordVote(core, core.nodeId, true)
}

function recordVote(core: Core, voter: NodeId, granted: boolean): void {
  core.votes.set(voter, granted)
  switch (tally(core.configuration, core.votes)) {
    case 'open':
      return
    case 'lost':
      becomeFollower(core, core.currentTerm, undefined)
      return
    case 'won':
      if (core.role === 'preCandidate') requestVotes(core, false)
      else takeOffice(core)
  }
}

function takeOffice(core: Core): void {
  becomeLeader(core)
  broadcastAppend(core)
}

/** The requests wait for the write of the candidate's own vote: otherwise a crash would let it vote twice (§5.2). */
function requestVotes(core: Core, leadershipTransfer: boolean): void {
  becomeCandidate(core)
  for (const message of voteRequests(core, false, core.currentTerm, leadershipTransfer)) {
    core.outbox.sendOnceWritten(message)
  }
}

function voteRequests(core: Core, preVote: boolean, term: Term, leadershipTransfer: boolean): RequestVote[] {
  const { lastIndex, lastTerm } = core.log
  const position = { lastLogIndex: lastIndex, lastLogTerm: lastTerm }
  return votersOf(core.configuration)
    .filter((voter) => voter !== core.nodeId)
    .map((to) => ({
      kind: 'requestVote',
      from: core.nodeId,
      to,
      term,
      preVote,
      ...position,
      leadershipTransfer,
    }))
}

/** True on a leader, and on whoever heard one within the shortest election timeout. */
function hearsLeader(core: Core): boolean {
  return core.leader !== undefined && core.electionElapsedTicks < core.options.electionTimeoutTicks
}

function wouldVoteFor(core: Core, request: RequestVote): boolean {
  if (request.term < core.currentTerm || core.isDoubtful) return false
  if (core.configuration.retired.includes(request.from) || hasPrecedence(core, request)) return false
  const { votedFor } = core
  // In a term of its own a pre-vote asks about a vote that can't have been given yet.
  const isFree = request.term > core.currentTerm || votedFor === undefined || votedFor === request.from
  // A leader of this very term is known: it was elected without this vote, and another can't be.
  const isDecided = request.term === core.currentTerm && core.leader !== undefined && votedFor !== request.from
  // §5.4.1, the election restriction: the winner must hold all committed entries.
  return isFree && !isDecided && core.log.isUpToDate(request.lastLogIndex, request.lastLogTerm)
}

/**
 * True when this node has just asked for pre-votes itself and the other one has to give way: of equal logs, that of the
 * lower node id goes first. When a leader's process dies, all its followers hear of it at once and campaign within
 * milliseconds; two that encouraged each other would share the votes, and cost the group another timeout.
 */
function hasPrecedence(core: Core, { preVote, from, lastLogIndex, lastLogTerm }: RequestVote): boolean {
  const isYoung = core.role === 'preCandidate' && core.electionElapsedTicks < core.options.heartbeatTicks
  if (!preVote || !isYoung || from < core.nodeId) return false
  return lastLogIndex === core.log.lastIndex && lastLogTerm === core.log.lastTerm
}

function answer(core: Core, request: RequestVote, term: Term, voteGranted: boolean): RequestVoteResponse {
  const { preVote } = request
  const committed = voteGranted || core.isVoter || core.isDoubtful ? undefined : lastCommitted(core)
  return { kind: 'requestVoteResponse', from: core.nodeId, to: request.from, term, preVote, voteGranted, committed }
}

function lastCommitted({ commitIndex: index, log }: Core): { readonly index: LogIndex; readonly term: Term } {
  return { index, term: log.termAt(index) }
}
