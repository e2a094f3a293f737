import type { NodeId } from '../base/index.ts'
import { configurationToPromote, configurationToRebuild, isVoterIn } from './configuration.ts'
import { confirmConfiguration, hasCaughtUp, isChangePossible, proposeByItself } from './configuration-change.ts'
import type { Core } from './core.ts'
import type { Leadership } from './leadership.ts'

/**
 * What a leader does by itself about nodes in doubt (doubt.ts), one at a time, at each check of the quorum that it
 * passed: the quorum is there without the node, since doubtful nodes are not counted.
 *
 * - A voter that is in doubt loses its vote for the time being: it becomes a learner that is being rebuilt. One that was
 *   in doubt at the last check as well: a voter just promoted needs a moment to learn that its doubt is over. And one that
 *   has said so since: the last word of a node that fell silent is outdated, and of two voters neither can be rebuilt.
 * - For a learner that is in doubt, and has caught up, the configuration is confirmed once more, which ends its doubt.
 * - A learner that is being rebuilt, and is in doubt no longer, votes again. Not earlier: a voter in doubt counts against the
 *   quorum that it takes to end its doubt.
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
  if (doubtful !== undefined) {
    proposeByItself(core, leading, configurationToRebuild(configuration, doubtful))
    return
  }
  const isDoubtful = (learner: NodeId) => leading.followers.get(learner)?.doubtful === true
  const learners = configuration.learners.filter((learner) => hasCaughtUp(leading, learner))
  const rebuilt = learners.find((learner) => configuration.rebuilding.includes(learner) && !isDoubtful(learner))
  if (rebuilt !== undefined) proposeByItself(core, leading, configurationToPromote(configuration, rebuilt))
  else if (learners.some(isDoubtful)) confirmConfiguration(core, leading)
}
