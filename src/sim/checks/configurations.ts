import type { NodeId } from '../../base/index.ts'
import { type Configuration, decodeConfiguration, type Entry, EntryKind, type RaftEffect } from '../../raft/index.ts'
import type { CheckWorld } from './raft-checks.ts'

/** Groups of nodes of which a majority each is needed for every decision. */
export type Majorities = readonly (readonly NodeId[])[]

/**
 * Follows which configurations are in force, or may come in force, from the effects of all cores. Checks that each follows
 * lawfully on the one before it: then their quorums overlap, and no two can decide apart (thesis §4.1, §4.3).
 */
export class Configurations {
  readonly #world: Pick<CheckWorld, 'fail'>
  #inForce: Majorities
  /** What the one in force comes to when the learners that are being rebuilt have their votes again. */
  #whenRebuilt: Majorities = []
  #index = 0
  /** Those that somebody wrote to its log behind the newest that was applied: each may be committed yet. */
  readonly #written = new Map<string, { readonly index: number; readonly majorities: Majorities }>()

  constructor(world: Pick<CheckWorld, 'fail'>, voters: readonly NodeId[]) {
    this.#world = world
    this.#inForce = [voters]
  }

  look(effect: RaftEffect): void {
    if (effect.kind === 'write') for (const entry of effect.entries) this.#wrote(entry)
    else if (effect.kind === 'configurationChanged') this.#applied(effect.index, effect.configuration)
  }

  /** The voters of the newest configuration that anybody applied; of a joint one first the new voters, then the old. */
  get inForce(): Majorities {
    return this.#inForce
  }

  /**
   * Every set of voters that counts now, or may count soon. A learner that is being rebuilt gets its vote back from a leader
   * that knows nothing of harm to come.
   */
  get all(): Majorities {
    const written = [...this.#written.values()].flatMap(({ majorities }) => majorities)
    return [...this.#inForce, ...this.#whenRebuilt, ...written]
  }

  #wrote({ index, term, kind, data }: Entry): void {
    if (kind !== EntryKind.configuration || index <= this.#index) return
    const { configuration } = decodeConfiguration(data)
    const majorities = [...majoritiesOf(configuration), ...majoritiesWhenRebuilt(configuration)]
    this.#written.set(`${index}:${term}`, { index, majorities })
  }

  #applied(index: number, configuration: Configuration): void {
    if (index < this.#index) return
    const next = majoritiesOf(configuration)
    if (index > this.#index && !mayFollow(this.#inForce, next)) {
      const what = `the voters ${JSON.stringify(next)} at ${index} follow on ${JSON.stringify(this.#inForce)}`
      this.#world.fail('neighbouringConfigurations', what)
    }
    this.#index = index
    this.#inForce = next
    this.#whenRebuilt = majoritiesWhenRebuilt(configuration)
    for (const [key, written] of this.#written) if (written.index <= index) this.#written.delete(key)
  }
}

/** One voter more or less; or a joint change, entered from its old voters and left to its new ones. */
function mayFollow([voters = [], outgoing]: Majorities, [next = [], nextOutgoing]: Majorities): boolean {
  if (outgoing !== undefined)
    return nextOutgoing === undefined ? same(voters, next) : same(voters, next) && same(outgoing, nextOutgoing)
  if (nextOutgoing !== undefined) return same(voters, nextOutgoing)
  return difference(voters, next) + difference(next, voters) <= 1
}

function same(one: readonly NodeId[], other: readonly NodeId[]): boolean {
  return difference(one, other) + difference(other, one) === 0
}

/** How many of `one` are not in `other`. */
function difference(one: readonly NodeId[], other: readonly NodeId[]): number {
  return one.filter((voter) => !other.includes(voter)).length
}

function majoritiesWhenRebuilt({ voters, rebuilding }: Configuration): Majorities {
  return rebuilding.length === 0 ? [] : [[...voters, ...rebuilding]]
}

function majoritiesOf({ voters, votersOutgoing }: Configuration): Majorities {
  return votersOutgoing.length === 0 ? [voters] : [voters, votersOutgoing]
}
