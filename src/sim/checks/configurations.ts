import type { NodeId } from '../../base/index.ts'
import { type Configuration, decodeConfiguration, type Entry, EntryKind, type RaftEffect } from '../../raft/index.ts'

/** Groups of nodes of which a majority each is needed for every decision. */
export type Majorities = readonly (readonly NodeId[])[]

/** Follows which configurations are in force, or may come in force, from the effects of all cores. */
export class Configurations {
  #inForce: Majorities
  #index = 0
  /** Those that somebody wrote to its log behind the newest that was applied: each may be committed yet. */
  readonly #written = new Map<string, { readonly index: number; readonly majorities: Majorities }>()

  constructor(voters: readonly NodeId[]) {
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

  /** Every set of voters that counts now, or may count soon. */
  get all(): Majorities {
    return [...this.#inForce, ...[...this.#written.values()].flatMap(({ majorities }) => majorities)]
  }

  #wrote({ index, term, kind, data }: Entry): void {
    if (kind !== EntryKind.configuration || index <= this.#index) return
    const { configuration } = decodeConfiguration(data)
    this.#written.set(`${index}:${term}`, { index, majorities: majoritiesOf(configuration) })
  }

  #applied(index: number, configuration: Configuration): void {
    if (index < this.#index) return
    this.#index = index
    this.#inForce = majoritiesOf(configuration)
    for (const [key, written] of this.#written) if (written.index <= index) this.#written.delete(key)
  }
}

function majoritiesOf({ voters, votersOutgoing }: Configuration): Majorities {
  return votersOutgoing.length === 0 ? [voters] : [voters, votersOutgoing]
}
