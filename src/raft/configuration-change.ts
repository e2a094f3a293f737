import type { NodeId } from '../base/index.ts'
import { advanceLeaderCommit } from './commit.ts'
import {
  configurationTowards,
  isJoint,
  isMalformedTarget,
  isVoterIn,
  leaveJoint,
  sameConfiguration,
} from './configuration.ts'
import { encodeConfiguration } from './configuration-codec.ts'
import type { Core } from './core.ts'
import type { Leadership } from './leadership.ts'
import { offset } from './positions.ts'
import { Progress } from './progress.ts'
import { acknowledgeRound } from './read-index.ts'
import { broadcastAppend } from './replication.ts'
import { becomeFollower } from './roles.ts'
import { broadcastHeartbeat, sendAppend } from './sending.ts'
import { bequeath, reviewTransfer } from './transfer.ts'
import {
  type Configuration,
  type ConfigurationRefusal,
  type ConfigurationTarget,
  type Entry,
  EntryKind,
  type LogIndex,
} from './types.ts'

// Changing the members, as etcd-io/raft does it: a configuration is in force from when its entry is APPLIED, not from when
// it is in the log (thesis §4.1 lets it count at once, and then has to take it back when the entry is lost). What makes
// that safe:
//
// 1. A change is taken only when the one before it is applied here, and this leader's own no-op is: an uncommitted change
//    of an earlier leader could come back otherwise (Ongaro, "bug in single-server membership changes", raft-dev, 2015).
// 2. Quorums of a configuration and of its successor overlap: one voter more or less, or joint consensus (§6, §4.3).
// 3. Nobody campaigns or leads with a configuration older than its neighbour's (election.ts, mayCampaign).
//
// And what makes it live:
//
// 4. A leader that has applied a configuration proposes it once more, to confirm it. Whoever has that second entry on its
//    disk has it there too that the first one is committed (rule 1). So once the second one is committed, a quorum of the
//    configuration goes by it, whatever dies; before, all who know of it may be gone, and the others would wait for the
//    votes of those who were removed. Therefore nobody counts as removed, and no change as done, before it is confirmed.

const NO_CONTEXT = new Uint8Array(0)

/** An operator wants these members. */
export function onChangeConfiguration(
  core: Core,
  target: ConfigurationTarget,
  context: Uint8Array,
  force: boolean,
): void {
  const { leading } = core
  const refusal = leading === undefined ? refused('notLeader') : refusalOf(core, leading, target, force)
  if (leading === undefined || refusal !== undefined) {
    core.outbox.emit({ kind: 'configurationRefused', leader: core.leader, ...(refusal ?? refused('notLeader')) })
    return
  }
  proposeConfiguration(core, leading, configurationTowards(core.configuration, target), context)
}

/** True when a change would be taken now (rule 1 above). */
export function isChangePossible(core: Core, leading: Leadership): boolean {
  return leading.serving && leading.transfer === undefined && !isChangePending(core, leading)
}

/** True while a change is not applied here, or not confirmed, or a joint configuration is not left. */
export function isChangePending(core: Core, leading: Leadership): boolean {
  return isUnapplied(core, leading) || isJoint(core.configuration) || !core.isConfigurationConfirmed
}

function isUnapplied(core: Core, leading: Leadership): boolean {
  return leading.pendingConfigurationIndex > core.lastApplied
}

/**
 * True when a learner, made a voter now, would hold up no commit for longer than about an election timeout: it has
 * everything that was in the log at the check of the quorum before the last, one to two election timeouts ago, and it
 * answers. These are the rounds of thesis §4.2.1, each an election timeout long.
 */
export function hasCaughtUp(leading: Leadership, learner: NodeId): boolean {
  const progress = leading.followers.get(learner)
  if (progress === undefined || progress.state !== 'replicate') return false
  return progress.matchIndex >= leading.lastIndexAtCheckBefore && (progress.recentlyActive || progress.wasActive)
}

/** Appends a configuration to the leader's log. The caller has made sure that it may. */
export function proposeConfiguration(
  core: Core,
  leading: Leadership,
  configuration: Configuration,
  context: Uint8Array,
): void {
  const index = appendConfiguration(core, leading, configuration, context)
  core.outbox.emit({ kind: 'configurationProposed', index, term: core.currentTerm })
}

/** Writes the configuration in force once more (rule 4). */
export function confirmConfiguration(core: Core, leading: Leadership): void {
  proposeByItself(core, leading, core.configuration)
}

/** The leader changes the members by itself; whatever the shell knows of them stays as it is. */
export function proposeByItself(core: Core, leading: Leadership, configuration: Configuration): void {
  appendConfiguration(core, leading, configuration, NO_CONTEXT)
}

/** When a step ends: does what follows from configurations that came in force in it, and takes the step after it. */
export function settleConfiguration(core: Core): void {
  while (core.isConfigurationFresh) {
    core.isConfigurationFresh = false
    if (core.leading === undefined) stopCampaign(core)
    else followMembers(core, core.leading)
    // Another quorum decides now: it may have all that a commit, or a round of reads, waited for.
    advanceLeaderCommit(core)
    acknowledgeRound(core)
  }
  const { leading } = core
  if (leading === undefined || !leading.serving || isUnapplied(core, leading)) return
  if (!isChangePending(core, leading)) {
    if (!core.isVoter) leave(core, leading)
  } else if (leading.transfer === undefined) {
    // Nobody should stay in between for long (thesis §4.3).
    if (isJoint(core.configuration)) proposeByItself(core, leading, leaveJoint(core.configuration))
    else confirmConfiguration(core, leading)
  }
}

function refusalOf(core: Core, leading: Leadership, target: ConfigurationTarget, force: boolean): Refusal | undefined {
  const { configuration } = core
  const members = [...target.voters, ...target.learners]
  if (isMalformedTarget(target)) return refused('malformed', repeated(members))
  const retired = members.filter((node) => configuration.retired.includes(node))
  if (retired.length > 0) return refused('retired', retired)
  if (!leading.serving) return refused('notServing')
  if (leading.transfer !== undefined) return refused('transferring')
  if (isChangePending(core, leading)) return refused('changePending')
  if (!force && sameConfiguration(configurationTowards(configuration, target), configuration))
    return refused('unchanged')
  const early = target.voters.filter((node) => !isVoterIn(configuration, node) && !hasCaughtUp(leading, node))
  return force || early.length === 0 ? undefined : refused('notCaughtUp', early)
}

interface Refusal {
  readonly reason: ConfigurationRefusal
  readonly nodes: readonly NodeId[]
}

function refused(reason: ConfigurationRefusal, nodes: readonly NodeId[] = []): Refusal {
  return { reason, nodes }
}

function repeated(nodes: readonly NodeId[]): NodeId[] {
  return [...new Set(nodes.filter((node, at) => nodes.indexOf(node) !== at))].sort((a, b) => a - b)
}

function appendConfiguration(
  core: Core,
  leading: Leadership,
  configuration: Configuration,
  context: Uint8Array,
): LogIndex {
  const entry: Entry = {
    term: core.currentTerm,
    index: offset(core.log.lastIndex, 1),
    kind: EntryKind.configuration,
    data: encodeConfiguration({ configuration, context }),
  }
  leading.pendingConfigurationIndex = entry.index
  core.log.append([entry])
  core.outbox.writeEntries([entry])
  broadcastAppend(core)
  return entry.index
}

/** Whoever counted votes by the configuration before counts no more. It had applied all it knew, so this is rare. */
function stopCampaign(core: Core): void {
  if (core.role !== 'follower') becomeFollower(core, core.currentTerm, undefined)
}

function followMembers(core: Core, leading: Leadership): void {
  const { followers } = leading
  const peers = core.peers
  for (const [peer, progress] of followers) {
    if (peers.includes(peer)) continue
    // So that it learns that it was removed; nobody will tell it later.
    if (progress.state === 'replicate') sendAppend(core, peer, progress, [])
    followers.delete(peer)
  }
  for (const peer of peers) {
    if (followers.has(peer)) continue
    const progress = new Progress(core.options, offset(core.log.lastIndex, 1))
    // It had no time to answer yet, and must not bring the leader down at the next check of the quorum.
    progress.recentlyActive = true
    followers.set(peer, progress)
  }
  reviewTransfer(core, leading)
  broadcastAppend(core)
}

/**
 * Thesis §4.2.2: a leader that is removed leads until its removal is confirmed, and not longer than it takes to hand over.
 * It tells everyone of the commit, and has the furthest voter campaign (thesis §3.10): nobody has to wait for a timeout,
 * no entry that it took is lost on the way, and a group of two is not left to a node that does not know yet that it is
 * alone. Meanwhile it counts for nothing itself.
 */
function leave(core: Core, leading: Leadership): void {
  if (leading.transfer !== undefined) return
  if (!leading.isLeaving) {
    leading.isLeaving = true
    broadcastHeartbeat(core)
    if (bequeath(core, leading)) return
  }
  becomeFollower(core, core.currentTerm, undefined)
}
