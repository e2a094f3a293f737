import type { Core } from './core.ts'
import { noteDoubtFloor } from './doubt.ts'
import type { ReadId, ReadIndexResponse, ReadKey } from './types.ts'

/**
 * The reads that this node forwarded to its leader and that have no answer yet (thesis §6.4, end). Keys are never used
 * twice, so an answer can come late, twice, or not at all: it is never taken for that to another read.
 */
export class ForwardedReads {
  readonly #waiting = new Map<ReadKey, { readonly readId: ReadId; ticksLeft: number }>()
  #nextKey: ReadKey

  constructor(firstKey: ReadKey) {
    this.#nextKey = firstKey
  }

  /** Notes a read that waits for `ticks` at most. */
  add(readId: ReadId, ticks: number): ReadKey {
    const readKey = this.newKey()
    this.#waiting.set(readKey, { readId, ticksLeft: ticks })
    return readKey
  }

  /** A key that nobody has used. */
  newKey(): ReadKey {
    const readKey = this.#nextKey
    this.#nextKey = (readKey + 1) as ReadKey
    return readKey
  }

  /** The read that waits under this key, which waits no longer. */
  take(readKey: ReadKey): ReadId | undefined {
    const read = this.#waiting.get(readKey)
    this.#waiting.delete(readKey)
    return read?.readId
  }

  /** All reads that wait. */
  takeAll(): readonly ReadId[] {
    const readIds = [...this.#waiting.values()].map(({ readId }) => readId)
    this.#waiting.clear()
    return readIds
  }

  /** Lets a tick pass. @returns the reads that waited too long */
  tick(): readonly ReadId[] {
    const expired: ReadId[] = []
    for (const [readKey, read] of this.#waiting) {
      read.ticksLeft--
      if (read.ticksLeft > 0) continue
      this.#waiting.delete(readKey)
      expired.push(read.readId)
    }
    return expired
  }

  get count(): number {
    return this.#waiting.size
  }
}

/** Asks the leader where a read may be served. Only its answer counts: this node's own commitIndex may lag behind. */
export function forwardRead(core: Core, readId: ReadId): void {
  const { leader } = core
  if (leader === undefined) {
    core.outbox.emit({ kind: 'readRefused', readId, reason: 'notLeader', leader })
    return
  }
  const readKey = core.forwardedReads.add(readId, core.options.electionTimeoutTicks)
  core.outbox.send({ kind: 'readIndex', from: core.nodeId, to: leader, term: core.currentTerm, readKey })
}

/**
 * The leader answered. Its term does not matter: a quorum confirmed it after the read had begun, whoever leads by now.
 */
export function onReadIndexResponse(core: Core, response: ReadIndexResponse): void {
  noteDoubtFloor(core, response)
  const readId = core.forwardedReads.take(response.readKey)
  if (readId === undefined) return
  if (response.granted) core.outbox.emit({ kind: 'readReady', readId, index: response.index })
  else core.outbox.emit({ kind: 'readRefused', readId, reason: 'leadershipLost', leader: core.leader })
}

/** A tick on a node that does not lead: who heard nothing for an election timeout asks again, perhaps another leader. */
export function tickForwardedReads(core: Core): void {
  for (const readId of core.forwardedReads.tick()) {
    core.outbox.emit({ kind: 'readRefused', readId, reason: 'leadershipLost', leader: core.leader })
  }
}

/** The leader that was asked leads no more, as far as this node knows. */
export function refuseForwardedReads(core: Core): void {
  for (const readId of core.forwardedReads.takeAll()) {
    core.outbox.emit({ kind: 'readRefused', readId, reason: 'leadershipLost', leader: core.leader })
  }
}
