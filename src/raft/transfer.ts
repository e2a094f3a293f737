import type { NodeId } from '../base/index.ts'
import { isVoterIn } from './configuration.ts'
import type { Core } from './core.ts'
import type { Leadership } from './leadership.ts'
import type { LogIndex } from './types.ts'

// Leadership transfer (thesis §3.10). The leader takes no more proposals, brings the target's log up to its own end, and
// tells it to campaign at once. The target's requests for votes are heard even by those that hear a live leader, and no
// pre-vote comes before them: one round trip, and the group has a new leader. Whatever is lost on the way, after an
// election timeout the old leader goes on.

/** A transfer under way. */
export interface Transfer {
  readonly target: NodeId
  ticksLeft: number
  /** The leader began it by itself, because it was removed: nobody waits for its end. */
  readonly isFarewell: boolean
}

/** The shell wants another leader: `to`, or whoever is furthest. */
export function onTransferLeadership(core: Core, to: NodeId | undefined): void {
  const { leading } = core
  if (leading === undefined) {
    core.outbox.emit({ kind: 'transferFailed', reason: 'notLeader' })
    return
  }
  if (leading.transfer !== undefined) {
    core.outbox.emit({ kind: 'transferFailed', reason: 'busy' })
    return
  }
  const target = to === undefined ? furthestHeir(core, leading) : canInherit(core, leading, to) ? to : undefined
  if (target === undefined) {
    core.outbox.emit({ kind: 'transferFailed', reason: 'noTarget' })
    return
  }
  beginTransfer(core, leading, target, false)
}

/** A leader that was removed hands over to whoever is furthest. @returns false when there is nobody */
export function bequeath(core: Core, leading: Leadership): boolean {
  const heir = furthestHeir(core, leading)
  if (heir !== undefined) beginTransfer(core, leading, heir, true)
  return heir !== undefined
}

function beginTransfer(core: Core, leading: Leadership, target: NodeId, isFarewell: boolean): void {
  leading.transfer = { target, ticksLeft: core.options.electionTimeoutTicks, isFarewell }
  continueTransfer(core, target)
}

/** The members changed: nothing can be handed to a node that has no vote any more. */
export function reviewTransfer(core: Core, leading: Leadership): void {
  const { transfer } = leading
  if (transfer === undefined || isVoterIn(core.configuration, transfer.target)) return
  leading.transfer = undefined
  if (!transfer.isFarewell) core.outbox.emit({ kind: 'transferFailed', reason: 'noTarget' })
}

/**
 * `peer` answered: if it is the target and has the whole log, its hour has come. The message may be lost, so each answer
 * repeats it; a node that campaigns already is in a later term, where it means nothing.
 */
export function continueTransfer(core: Core, peer: NodeId): void {
  const { leading } = core
  if (leading?.transfer?.target !== peer || matchOf(leading, peer) < core.log.lastIndex) return
  core.outbox.send({ kind: 'timeoutNow', from: core.nodeId, to: peer, term: core.currentTerm })
}

/** A tick on the leader. One that nobody deposed within an election timeout goes on as before. */
export function tickTransfer(core: Core): void {
  const transfer = core.leading?.transfer
  if (transfer === undefined) return
  transfer.ticksLeft--
  if (transfer.ticksLeft > 0) return
  core.leading!.transfer = undefined
  if (!transfer.isFarewell) core.outbox.emit({ kind: 'transferFailed', reason: 'timeout' })
}

/** The voter that needs least to take over, among those that are alive; the first by number of equal ones. */
function furthestHeir(core: Core, leading: Leadership): NodeId | undefined {
  const { voters, votersOutgoing } = core.configuration
  let best: NodeId | undefined
  for (const voter of [...voters, ...votersOutgoing]) {
    if (!canInherit(core, leading, voter)) continue
    if (best === undefined || matchOf(leading, voter) > matchOf(leading, best)) best = voter
  }
  return best
}

/** Only a voter can win, and one that answered of late will hear that it should. */
function canInherit(core: Core, leading: Leadership, node: NodeId): boolean {
  const progress = leading.followers.get(node)
  if (progress === undefined || progress.doubtful || !isVoterIn(core.configuration, node)) return false
  return progress.recentlyActive || progress.wasActive
}

function matchOf(leading: Leadership, node: NodeId): LogIndex | 0 {
  return leading.followers.get(node)?.matchIndex ?? 0
}
