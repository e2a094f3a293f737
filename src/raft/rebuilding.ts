import type { NodeId } from '../base/index.ts'
import { configurationToPromote, configurationToRebuild, isVoterIn } from './configuration.ts'
import { hasCaughtUp, isChangePossible, proposeByItself } from './configuration-change.ts'
import type { Core } from './core.ts'
import type { Leadership } from './leadership.ts'
import { hasQuorum } from './quorum.ts'

/**
 * What a leader does by itself about nodes in doubt (doubt.ts), one at a time, at each check of the quorum that it
 * passed: the quorum is there without the node, since doubtful nodes are not counted.
 *
 * - A voter that is in doubt loses its vote for the time being: it becomes a learner that is being rebuilt. One that was
 *   in doubt at the last check as well: a voter just promoted needs a moment to learn that its doubt is over. And one that
 *   has said so since: the last word of a node that fell silent is outdated, and of two voters neither can be rebuilt.
 * - A learner that is being rebuilt, and has caught up, votes again, if the others that answer are a quorum without it: its
 *   doubt ends when it applies the change, and a crash before that leaves it in doubt with a vote. With another voter in
 *   doubt as well, nobody could take either vote away any more.
 */
export function tendRebuilding(core: Core, leading: Leadership): void {
  const doubtful = [...leading.followers.entries()].filter(
    ([member, { doubtful, recentlyActive }]) => doubtful && recentlyActive && isVoterIn(core.configuration, member),
  )
  if (isChangePossible(core, leading))
    changeOne(core, leading, doubtful.find(([, { wasDoubtful }]) => wasDoubtful)?.[0])
  for (const progress of leading.followers.values()) progress.wasDoubtful = false
  for (const [, progress] of doubtful) progress.wasDoubtful = true
}

function changeOne(core: Core, leading: Leadership, doubtful: NodeId | undefined): void {
  const { configuration } = core
  const { rebuilding } = configuration
  if (doubtful !== undefined) {
    proposeByItself(core, leading, configurationToRebuild(configuration, doubtful))
    return
  }
  const rebuilt = rebuilding.find((learner) => hasCaughtUp(leading, learner))
  if (rebuilt === undefined) return
  const promoted = configurationToPromote(configuration, rebuilt)
  const isCertain = (voter: NodeId) => voter !== rebuilt && (voter === core.nodeId || leading.isActive(voter))
  // Two voters are never a quorum without one of them.
  const isPair = promoted.voters.length === 2
  if (isPair || hasQuorum(promoted, isCertain)) proposeByItself(core, leading, promoted)
}
