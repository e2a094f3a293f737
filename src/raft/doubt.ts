import { isVoterIn } from './configuration.ts'
import type { Core } from './core.ts'
import type { Configuration, LogIndex } from './types.ts'

// A doubtful node D lost a part of its log, or its votes, to damage (Alagappan et al., "Protocol-Aware Recovery for
// Consensus-Based Storage", FAST 2018, show what comes of it when such a node takes part as if nothing had happened).
// It must not act against acknowledgements and votes that it gave and can't remember.
//
// As long as it is in doubt, D neither votes nor campaigns, and no leader counts its answers: to the others it is a node
// that crashed. Raft is safe with crashed nodes: whatever D acknowledged was held by a majority, and a majority of
// voters WITHOUT D always has one more of those that hold it; likewise for its votes.
//
// So the one dangerous moment is the end of the doubt. D ends it when it applies a configuration C" in which it votes,
// directly after a configuration C' in which it did not, if C" was committed after the doubt began. Why this is safe:
// - No candidate X can win any more by a vote that D forgot. X asked before the doubt began, so its log has not C"
//   applied, and not C' either, or it would not count D: its log lacks C". But C" was committed by a quorum Q without D
//   (it is no voter in C'), and a quorum that X could complete with D's vote is one of C' or of the configuration before
//   it, so a node other than D is in both: either it voted for X in a higher term before it could acknowledge C", and
//   then C" was not committed in this term, or it holds C" and refuses X (§5.4.1).
// - D holds everything up to C", from a log that holds all that was committed. Whoever D votes for now holds C" too.
// - A vote that D gives a second time in one term can only go to a candidate whose log has C", and the first one's can't
//   win.
//
// "After the doubt began" is not to be seen from D's own log: it may lack C" of an EARLIER doubt, which the leader sends
// it again. Therefore D asks its leader, as a reader would, for an index that is at least as high as all that was
// committed when it asked (thesis §6.4): only a C" behind that is new. D forgets that index in a restart and asks anew.
//
// Nothing of this depends on what made the leader take D's vote away, so an operator may do it as well as the leader by
// itself (rebuilding.ts).

/** A configuration took the place of `before`. Ends the doubt of a node that was not a voter, and now is. */
export function clearDoubt(core: Core, before: Configuration, lastIndexBefore: LogIndex): void {
  if (!core.isDoubtful || core.doubtFloor === undefined || lastIndexBefore < core.doubtFloor) return
  if (isVoterIn(before, core.nodeId) || !core.isVoter) return
  core.isDoubtful = false
  core.outbox.emit({ kind: 'doubtCleared' })
}
