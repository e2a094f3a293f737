import { assert } from '../base/index.ts'
import { isVoterIn } from './configuration.ts'
import type { Core } from './core.ts'
import type { Configuration, LogIndex, ReadIndexResponse } from './types.ts'

// A doubtful node D lost a part of its log, or its votes, to damage (Alagappan et al., "Protocol-Aware Recovery for
// Consensus-Based Storage", FAST 2018, show what comes of it when such a node takes part as if nothing had happened).
// It must not act against acknowledgements and votes that it gave and can't remember.
//
// As long as it is in doubt, D neither votes nor campaigns, and no leader counts its answers: to the others it is a node
// that crashed. Raft is safe with crashed nodes: whatever D acknowledged was held by a majority, and a majority of
// voters WITHOUT D always has one more of those that hold it; likewise for its votes.
//
// So the one dangerous moment is the end of the doubt. D ends it when it applies any configuration C" that follows directly
// on a configuration C' in which it has no vote, if C" was committed after the doubt began. Most often C" is C' once more
// (configuration-change.ts, rule 4): then D is in doubt no longer before it gets its vote back. Why this is safe:
// - No candidate X can win any more by a vote that D forgot. X asked before the doubt began, when nobody had applied C".
//   It counts D, so it had not applied C' either; and whoever has C" in its log has applied C' (election.ts): X lacks C".
//   Now C" was committed in some term by a quorum Q of C', in which D is not. A quorum that D's vote would complete for X,
//   in a higher term, overlaps Q, since neighbouring configurations do, and not in D. A node of both either voted for X
//   first, and then did not acknowledge C" in its lower term; or it holds C", and then refuses X (§5.4.1).
//   The quorum without D overlaps every quorum that a forgotten vote could complete: that is the whole point. Whether D
//   votes in C" is of no importance.
// - X in the term of C", or a lower one: D votes in none below it, and in that very term only for a candidate that has
//   C" in its log, as D has. There is none: who leads the term made C", and nobody else can have an entry of it when it
//   campaigns in it.
// - What D acknowledged and forgot, and was committed by that, is in the log of whoever made C" (a leader elected
//   without D, as above), so D holds it again.
//
// "After the doubt began" is not to be seen from D's own log: it may lack C" of an EARLIER doubt, which the leader sends
// it again. Therefore D asks its leader, as a reader would, for an index that is at least as high as all that was
// committed when it asked (thesis §6.4): only a C" behind that is new. D forgets that index in a restart and asks anew.
//
// Nothing of this depends on what made the leader take D's vote away, so an operator may do it as well as the leader by
// itself (rebuilding.ts).

/** A tick on a node that does not lead. One in doubt asks whoever leads what was committed, until it is told. */
export function tickDoubt(core: Core): void {
  if (!core.isDoubtful || core.doubtFloor !== undefined || core.leader === undefined) return
  core.doubtTicksLeft--
  if (core.doubtTicksLeft > 0) return
  core.doubtTicksLeft = core.options.electionTimeoutTicks
  // Always the same question: an answer to its first asking is as good as one to its last.
  core.doubtReadKey ??= core.forwardedReads.newKey()
  const { nodeId: from, leader: to, currentTerm: term, doubtReadKey: readKey } = core
  core.outbox.send({ kind: 'readIndex', from, to, term, readKey })
}

/** A leader answered: whatever was committed when this node came up is not behind that index. */
export function noteDoubtFloor(core: Core, response: ReadIndexResponse): void {
  if (!core.isDoubtful || response.readKey !== core.doubtReadKey || !response.granted) return
  core.doubtFloor ??= response.index
}

/**
 * A configuration was committed directly after `before`: that may end the doubt of a node without a vote in that one.
 *
 * @param lastIndexBefore the configuration is behind it
 */
export function clearDoubt(core: Core, before: Configuration, lastIndexBefore: LogIndex): void {
  if (!core.isDoubtful || core.isForgettingDoubt || core.doubtFloor === undefined) return
  if (lastIndexBefore < core.doubtFloor) return
  if (isVoterIn(before, core.nodeId)) return
  core.isForgettingDoubt = true
  core.outbox.emit({ kind: 'forgetDoubt' })
}

/** The disk does not say any more that this node is in doubt. Only now it counts: a crash before would bring the doubt back. */
export function onDoubtForgotten(core: Core): void {
  assert(core.isForgettingDoubt, 'what was asked for is done')
  core.isForgettingDoubt = false
  core.isDoubtful = false
}
