import fc from 'fast-check'
import type { NodeId } from '../../base/index.ts'
import { configurationTowards, simpleConfiguration } from '../configuration.ts'
import type { Configuration, ConfigurationTarget } from '../types.ts'

/** Node ids from numbers. */
export function ids(...numbers: readonly number[]): NodeId[] {
  return numbers as NodeId[]
}

/** Few enough that properties over all their subsets stay quick. */
export const NODES = ids(1, 2, 3, 4, 5, 6, 7)

/** All subsets, the empty one first. */
export function subsetsOf(nodes: readonly NodeId[]): NodeId[][] {
  return Array.from({ length: 2 ** nodes.length }, (_, bits) => nodes.filter((_, at) => (bits >> at) % 2 === 1))
}

/** A configuration that is not joint, and a target that it may be changed to. */
export interface Change {
  readonly present: Configuration
  readonly target: ConfigurationTarget
}

/** Each of `nodes` is a voter, a learner, retired (only in `present`) or absent. */
const parts = (nodes: readonly NodeId[]) =>
  fc.array(fc.constantFrom('voter', 'voter', 'learner', 'absent', 'retired'), {
    minLength: nodes.length,
    maxLength: nodes.length,
  })

const pick = (nodes: readonly NodeId[], drawn: readonly string[], part: string) =>
  nodes.filter((_, at) => drawn[at] === part)

export const changes: fc.Arbitrary<Change> = fc
  .tuple(parts(NODES), parts(NODES), fc.nat())
  .map(([before, after, salt]) => {
    const retired = pick(NODES, before, 'retired')
    const usable = NODES.filter((node) => !retired.includes(node))
    const drawn = NODES.map((node, at) => (usable.includes(node) ? after[at]! : 'absent')).filter((_, at) =>
      usable.includes(NODES[at]!),
    )
    const learners = pick(NODES, before, 'learner')
    const present = {
      ...simpleConfiguration(pick(NODES, before, 'voter'), learners),
      rebuilding: learners.filter((_, at) => (salt >> at) % 2 === 1),
      retired,
    }
    return { present, target: { voters: pick(usable, drawn, 'voter'), learners: pick(usable, drawn, 'learner') } }
  })
  .filter(({ present, target }) => present.voters.length > 0 && target.voters.length > 0)

/** Sound configurations, joint ones among them. */
export const configurations: fc.Arbitrary<Configuration> = changes.chain(({ present, target }) =>
  fc.constantFrom(present, configurationTowards(present, target)),
)
