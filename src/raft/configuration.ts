import { assert, type NodeId } from '../base/index.ts'
import type { Configuration, ConfigurationTarget } from './types.ts'

// Configurations are plain values, and these are functions of them. All lists that are made here are ascending.

/** What a node has that waits to be added to a group: nobody votes, so it never campaigns. */
export const EMPTY_CONFIGURATION: Configuration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  rebuilding: [],
  retired: [],
}

/** A configuration of these members that is not being changed. */
export function simpleConfiguration(voters: readonly NodeId[], learners: readonly NodeId[] = []): Configuration {
  return { ...EMPTY_CONFIGURATION, voters, learners }
}

/** True between the two steps of a joint change (thesis §4.3). */
export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0
}

/** True when the vote of `node` counts: in either half of a joint configuration. */
export function isVoterIn({ voters, votersOutgoing }: Configuration, node: NodeId): boolean {
  return voters.includes(node) || votersOutgoing.includes(node)
}

/** Everyone whose vote counts, each once. */
export function votersOf({ voters, votersOutgoing }: Configuration): readonly NodeId[] {
  return votersOutgoing.length === 0 ? voters : union(voters, votersOutgoing)
}

/** Everyone who receives the log, each once: voters of either half first, then learners. */
export function membersOf(configuration: Configuration): readonly NodeId[] {
  // A learner to come still is an outgoing voter.
  return [...votersOf(configuration), ...configuration.learners]
}

/** True when both name the same nodes in the same parts, in whatever order. */
export function sameConfiguration(a: Configuration, b: Configuration): boolean {
  return PARTS.every((part) => sameNodes(a[part], b[part]))
}

const PARTS = ['voters', 'votersOutgoing', 'learners', 'learnersNext', 'rebuilding', 'retired'] as const

/**
 * What is wrong with a configuration, or undefined. These must hold of every one:
 *
 * 1. No part names a node twice.
 * 2. Nobody is both a voter (of either half) and a learner.
 * 3. A learner to come is an outgoing voter, and not a voter any more.
 * 4. Whoever is being rebuilt is a learner, now or when the joint configuration is left.
 * 5. Retired ids are nobody's.
 * 6. Without voters there are no other members either.
 */
export function configurationFault(configuration: Configuration): string | undefined {
  const { voters, votersOutgoing, learners, learnersNext, rebuilding, retired } = configuration
  if (PARTS.some((part) => hasRepetition(configuration[part]))) return '1: a node is named twice'
  if (learners.some((node) => isVoterIn(configuration, node))) return '2: a voter is a learner as well'
  if (learnersNext.some((node) => voters.includes(node) || !votersOutgoing.includes(node)))
    return '3: a learner to come does not leave the voters'
  if (rebuilding.some((node) => !learners.includes(node) && !learnersNext.includes(node)))
    return '4: a node that is rebuilt is not a learner'
  if (retired.some((node) => isVoterIn(configuration, node) || learners.includes(node)))
    return '5: a retired id is a member'
  if (voters.length === 0 && (votersOutgoing.length > 0 || learners.length > 0)) return '6: nobody votes'
  return undefined
}

/** @throws InvariantError when the configuration has a fault */
export function assertConfiguration(configuration: Configuration): void {
  const fault = configurationFault(configuration)
  assert(fault === undefined, `a configuration that can't be: ${fault}`)
}

/** True when a target can't be meant: it names a node twice, or no voter. */
export function isMalformedTarget({ voters, learners }: ConfigurationTarget): boolean {
  return voters.length === 0 || hasRepetition([...voters, ...learners])
}

/** The target that describes the members as they are; of a joint configuration, as they will be. */
export function targetOf({ voters, learners, learnersNext }: Configuration): ConfigurationTarget {
  return { voters, learners: union(learners, learnersNext) }
}

/**
 * The configuration that leads from `present` to `target`. Up to one voter more or less is a simple change: any
 * majority of the one set of voters shares a node with any majority of the other (thesis §4.1), so both may be in force
 * on different nodes. Anything else needs a joint configuration in between.
 *
 * @param present not joint: one change at a time
 * @param target not malformed, and without retired ids
 */
export function configurationTowards(present: Configuration, target: ConfigurationTarget): Configuration {
  assert(!isJoint(present), 'a joint configuration is left before the next change begins')
  assert(!isMalformedTarget(target), 'a change has a target that can be meant')
  const changed = without(target.voters, present.voters).length + without(present.voters, target.voters).length
  return changed <= 1 ? settled(present, target) : jointTowards(present, target)
}

/** The configuration behind a joint one: the outgoing voters are gone, or learners. */
export function leaveJoint(joint: Configuration): Configuration {
  assert(isJoint(joint), 'only a joint configuration is left')
  return settled(joint, targetOf(joint))
}

/** The configuration in which `voter` lost its vote because it lost a part of its log: it will be promoted again. */
export function configurationToRebuild(present: Configuration, voter: NodeId): Configuration {
  const { voters, learners, rebuilding } = present
  const target = { voters: without(voters, [voter]), learners: union(learners, [voter]) }
  return { ...configurationTowards(present, target), rebuilding: union(rebuilding, [voter]) }
}

/** The configuration in which `learner` votes. */
export function configurationToPromote(present: Configuration, learner: NodeId): Configuration {
  const { voters, learners } = present
  return configurationTowards(present, { voters: union(voters, [learner]), learners: without(learners, [learner]) })
}

function jointTowards(present: Configuration, target: ConfigurationTarget): Configuration {
  const learners = without(target.learners, present.voters)
  const learnersNext = without(target.learners, learners)
  const isLearner = (node: NodeId) => target.learners.includes(node)
  return {
    voters: sorted(target.voters),
    votersOutgoing: sorted(present.voters),
    learners,
    learnersNext,
    rebuilding: sorted(present.rebuilding.filter(isLearner)),
    // Outgoing voters still count: they retire when the joint configuration is left.
    retired: union(present.retired, without(present.learners, [...target.voters, ...target.learners])),
  }
}

/** The members of `target`, and nothing in between. Whoever of `before` is not among them retires. */
function settled(before: Configuration, target: ConfigurationTarget): Configuration {
  const members = [...target.voters, ...target.learners]
  return {
    voters: sorted(target.voters),
    votersOutgoing: [],
    learners: sorted(target.learners),
    learnersNext: [],
    rebuilding: sorted(before.rebuilding.filter((node) => target.learners.includes(node))),
    retired: union(before.retired, without(membersOf(before), members)),
  }
}

function sorted(nodes: readonly NodeId[]): NodeId[] {
  return [...nodes].sort((a, b) => a - b)
}

function union(a: readonly NodeId[], b: readonly NodeId[]): NodeId[] {
  return sorted([...new Set([...a, ...b])])
}

function without(nodes: readonly NodeId[], gone: readonly NodeId[]): NodeId[] {
  return sorted(nodes.filter((node) => !gone.includes(node)))
}

function hasRepetition(nodes: readonly NodeId[]): boolean {
  return new Set(nodes).size !== nodes.length
}

function sameNodes(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((node) => b.includes(node))
}
