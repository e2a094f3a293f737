import { type BranchId, resourceOfJoined, type Txid } from '../base/index.ts'
import type { ParticipantMessage, ParticipantPort } from '../coordinator/index.ts'
import type { ParticipantBook } from './participant-session.ts'
import type { ParticipantStatus } from './status.ts'

/** One instance, as far as a registry needs it. */
export interface Instance {
  /** @returns false when it was not sent */
  send(message: ParticipantMessage): boolean
}

/** Who is told a branch's decision, and how often it was. */
interface Addressee {
  readonly instance: Instance
  sends: number
}

/** Names that registered themselves and are remembered, at most; the oldest that is not connected is forgotten first. */
const NAMES_MAX = 10_000
/** Branches whose addressee is remembered, at most; without one, the next instance is told. */
const ADDRESSEES_MAX = 200_000
/** So often (about half a second) one instance is told a decision before another one is. */
const SENDS_MAX = 4

/**
 * The participants in other processes, each a name with any number of instances (decision 0020).
 *
 * - PREPARE goes to all instances: only the one that holds the branch answers.
 * - A decision goes to the instance that voted. When that one is gone, or does not acknowledge, another one gets it, and
 *   so on in turn: any instance can finish a branch that voted commit.
 *
 * Nothing here outlives the process: an instance is connected to every coordinator, so a new leader has them all.
 */
export class ParticipantRegistry implements ParticipantPort, ParticipantBook {
  readonly #configured: ReadonlySet<string>
  /** In the order of their coming; an empty list is a name that registered and whose instances are away. */
  readonly #instances = new Map<string, Instance[]>()
  readonly #addressees = new Map<string, Addressee>()

  /** @param configured names that are known before any instance has come */
  constructor(configured: Iterable<string>) {
    this.#configured = new Set(configured)
  }

  /** Every name that is known, and how many of its instances are connected. */
  list(): readonly ParticipantStatus[] {
    const names = new Set([...this.#configured, ...this.#instances.keys()])
    return [...names].sort().map((name) => ({ name, instances: this.#instances.get(name)?.length ?? 0 }))
  }

  knows(participant: string): boolean {
    return this.#configured.has(participant) || this.#instances.has(participant)
  }

  /** An instance has come. */
  enter(name: string, instance: Instance): void {
    const instances = this.#instances.get(name)
    if (instances !== undefined) {
      instances.push(instance)
      return
    }
    if (this.#instances.size >= NAMES_MAX) this.#forgetName()
    this.#instances.set(name, [instance])
  }

  /** An instance is gone. Its name stays known: the coordinator waits for another one, or for its return. */
  leave(name: string, instance: Instance): void {
    const instances = this.#instances.get(name) ?? []
    const place = instances.indexOf(instance)
    if (place >= 0) instances.splice(place, 1)
    // It is the name of one life of one process, which never returns: whoever still needs its vote must not wait for it.
    if (instances.length === 0 && resourceOfJoined(name) !== undefined) this.#instances.delete(name)
  }

  send(participant: string, message: ParticipantMessage): void {
    const instances = this.#instances.get(participant) ?? []
    if (message.kind === 'prepare') for (const instance of instances) instance.send(message)
    else this.#decide(instances, message)
  }

  voted(txid: Txid, branch: BranchId, instance: Instance): void {
    this.#address(keyOf(txid, branch), { instance, sends: 0 })
  }

  acknowledged(txid: Txid, branches: readonly BranchId[]): void {
    for (const branch of branches) this.#addressees.delete(keyOf(txid, branch))
  }

  #decide(instances: Instance[], message: Extract<ParticipantMessage, { kind: 'decision' }>): void {
    const key = keyOf(message.txid, message.branch)
    const known = this.#addressees.get(key)
    if (known !== undefined && known.sends < SENDS_MAX && instances.includes(known.instance)) {
      known.sends += 1
      if (known.instance.send(message)) return
    }
    for (let tries = instances.length; tries > 0; tries--) {
      // Who is told goes to the end of the queue, so that work spreads and a deaf one is not asked twice in a row.
      const instance = instances.shift()!
      instances.push(instance)
      if (tries > 1 && instance === known?.instance) continue
      if (!instance.send(message)) continue
      this.#address(key, { instance, sends: 1 })
      return
    }
  }

  #address(key: string, addressee: Addressee): void {
    this.#addressees.delete(key)
    const [oldest] = this.#addressees.keys()
    if (this.#addressees.size >= ADDRESSEES_MAX && oldest !== undefined) this.#addressees.delete(oldest)
    this.#addressees.set(key, addressee)
  }

  #forgetName(): void {
    for (const [name, instances] of this.#instances) {
      if (instances.length > 0) continue
      this.#instances.delete(name)
      return
    }
  }
}

function keyOf(txid: Txid, branch: BranchId): string {
  return `${txid}/${branch}`
}
