import { assert } from '../base/index.ts'
import { countedBytes } from './commit.ts'
import { assertConfiguration } from './configuration.ts'
import type { Core } from './core.ts'
import type { Leadership } from './leadership.ts'
import { offset } from './positions.ts'
import { EntryKind, type LogIndex } from './types.ts'

/**
 * Invariants of a node between two steps; those of the parts are numbered above each part.
 *
 * 1. baseIndex <= lastApplied <= commitIndex <= lastIndex.
 * 2. Whatever is not cached is durable and applied, or was on disk at start-up: the cache can be refilled from disk.
 * 3. No entry is newer than currentTerm.
 * 4. A node leads exactly when it holds a Leadership, and then it voted for itself and knows itself as leader.
 * 5. Who campaigns knows no leader; a candidate voted for itself.
 * 6. A leader serves exactly when its no-op was applied; no round of reads begins before.
 * 7. uncommittedBytes is what the uncommitted commands of the leader's term count.
 * 8. A follower never knows more to match its leader than it has.
 * 9. The configuration in force contradicts itself nowhere.
 * 10. Who leads or campaigns has a vote, and is not in doubt; a leader that was removed stays until that is confirmed and
 *     it has handed over. Who campaigns has applied all it knows to be committed.
 * 11. A leader knows the progress of exactly the other members.
 * 12. Behind what a leader has applied there is one configuration of its own term at most, and none while the log that
 *     it found at its election is not applied.
 * 13. Who puts a snapshot in force follows, applies nothing meanwhile, and has not committed what the snapshot covers.
 * 14. Forwarded reads wait only on a follower that knows its leader.
 *
 * @throws InvariantError naming the first one that does not hold
 */
export function validate(core: Core): void {
  const { log, durability } = core
  log.validate()
  durability.validate(log.lastIndex)
  assert(log.baseIndex <= core.lastApplied, '1: what lies below the log was applied')
  assert(core.lastApplied <= core.commitIndex, '1: only committed entries are applied')
  assert(core.commitIndex <= log.lastIndex, '1: only entries of the log are committed')
  assert(log.cachedFrom <= durability.durableIndex + 1, '2: what is not cached is durable')
  assert(log.lastTerm <= core.currentTerm, '3: no entry is newer than the term')
  assertConfiguration(core.configuration)
  assert(!core.isConfigurationFresh, '9: what follows from a configuration is done in the step that adopts it')
  const isLeaving = core.leading?.transfer !== undefined || !core.isConfigurationConfirmed
  assert(core.role === 'follower' || core.isVoter || isLeaving, '10: who leads or campaigns has a vote')
  assert(core.role === 'follower' || !core.isDoubtful, '10: who leads or campaigns is not in doubt')
  assert((core.leading !== undefined) === (core.role === 'leader'), '4: a leader has a leadership, others have none')
  if (core.leading !== undefined) validateLeader(core, core.leading)
  else validateOther(core)
  validateInstalling(core)
  const knowsLeader = core.role === 'follower' && core.leader !== undefined
  assert(knowsLeader || core.forwardedReads.count === 0, '14: a forwarded read waits for a leader')
}

function validateInstalling({ installing, role, applyLoad, commitIndex }: Core): void {
  if (installing === undefined) return
  assert(role === 'follower', '13: who puts a snapshot in force follows')
  assert(applyLoad === undefined, '13: nothing is loaded for a state that is being replaced')
  assert(commitIndex < installing.snapshot.index, '13: what is committed is not installed')
}

function validateLeader(core: Core, leading: Leadership): void {
  const { log } = core
  assert(core.leader === core.nodeId && core.votedFor === core.nodeId, '4: a leader voted for itself')
  const { noopIndex } = leading
  const isKnown = (index: LogIndex) => index >= log.baseIndex
  assert(!isKnown(noopIndex) || log.termAt(noopIndex) === core.currentTerm, "the no-op is of the leader's term")
  const before = offset(noopIndex, -1)
  assert(!isKnown(before) || log.termAt(before) < core.currentTerm, 'the no-op is the first entry of its term')
  assert(leading.serving === core.lastApplied >= leading.noopIndex, '6: a leader serves when its no-op is applied')
  assert(leading.serving || !leading.reads.isRoundUnderWay, '6: nothing is read before the no-op is applied')
  for (const progress of leading.followers.values()) progress.validate(log.baseIndex, log.lastIndex)
  validateMembers(core, leading)
  let bytes = 0
  const from = Math.max(core.commitIndex + 1, leading.noopIndex) as LogIndex
  if (from <= log.lastIndex) for (const entry of log.sliceAll(from, log.lastIndex)) bytes += countedBytes(entry)
  assert(bytes === leading.uncommittedBytes, '7: uncommitted bytes are counted right')
}

function validateMembers(core: Core, leading: Leadership): void {
  const { log, lastApplied } = core
  const { followers, pendingConfigurationIndex } = leading
  const peers = core.peers
  assert(followers.size === peers.length, '11: a leader follows its members')
  for (const peer of peers) assert(followers.has(peer), '11: a leader follows its members')
  assert(pendingConfigurationIndex <= log.lastIndex, '12: a change that is pending is in the log')
  const from = Math.max(lastApplied + 1, leading.noopIndex) as LogIndex
  if (from < log.cachedFrom || from > log.lastIndex) return
  for (const { kind, index } of log.sliceAll(from, log.lastIndex)) {
    if (kind !== EntryKind.configuration) continue
    assert(leading.serving && index === pendingConfigurationIndex, '12: one change at a time')
  }
}

function validateOther(core: Core): void {
  assert(core.leader !== core.nodeId, '4: who does not lead does not take itself for the leader')
  assert(core.role === 'follower' || core.leader === undefined, '5: who campaigns knows no leader')
  assert(core.role !== 'candidate' || core.votedFor === core.nodeId, '5: a candidate voted for itself')
  assert(core.role === 'follower' || core.lastApplied === core.commitIndex, '10: who campaigns knows the configuration')
  assert(core.role !== 'follower' || core.votes.size === 0, '5: a follower counts no votes')
  assert(core.matchedIndex <= core.log.lastIndex, '8: nothing matches beyond the log')
}
