import { FAILPOINTS, type FailpointHit, type FailpointName, type RequiredOutcome } from '../../base/index.ts'
import type { SimFleet } from '../fleet/fleet.ts'
import type { Process } from '../kernel/process.ts'
import type { SimWorld } from '../kernel/world.ts'
import type { Oracle } from '../oracle/index.ts'
import type { Way } from './ways.ts'

export interface RowCheckParts {
  readonly point: FailpointName
  readonly way: Way
  readonly world: SimWorld
  readonly fleet: SimFleet
  readonly oracle: Oracle
}

type Decided = 'committed' | 'aborted'

/** The required outcome of one row, for the transaction that was at the point. */
export class RowCheck {
  readonly #parts: RowCheckParts
  #hit: FailpointHit | undefined
  #victim: string | undefined
  /** What was decided when the crash happened. */
  #before: Decided | undefined

  constructor(parts: RowCheckParts) {
    this.#parts = parts
  }

  crashed(hit: FailpointHit, process: Process): void {
    this.#hit = hit
    this.#victim = process.name
    this.#before = this.#decision()
    if (this.#required === 'decided' && this.#before === undefined) {
      this.#fail(`nothing is decided about ${hit.txid}`)
    }
  }

  /** While the dead one stays away: nothing is open at a leader, and no branch of the transaction is prepared anywhere. */
  othersAreDone(): boolean {
    const { fleet, oracle } = this.#parts
    const { leader } = fleet
    if (leader === undefined || leader.name === this.#victim) return false
    const { openCount, undeliveredCount, queuedCount } = leader.server!.coordinator.status()
    if (openCount + undeliveredCount + queuedCount > 0) return false
    return [...oracle.branches.openOnes()].length === 0
  }

  /** All is at rest. */
  check(): void {
    const { fleet, oracle } = this.#parts
    const txid = this.#hit?.txid
    if (txid === undefined || oracle.branches.isExcused(txid)) return
    const kinds = new Set(fleet.coordinators().map(({ knowledge }) => knowledge(txid).kind))
    if (kinds.has('committed') && kinds.has('aborted')) return this.#fail(`${txid} is both`)
    const end = this.#decision()
    const branches = oracle.branches.endOf(txid)
    if (end !== undefined && branches !== undefined && end !== branches) {
      return this.#fail(`${txid} is ${end}, and its branches are ${branches}`)
    }
    switch (this.#required) {
      case 'commit':
        return end === 'committed' ? undefined : this.#fail(`${txid} had to commit and is ${end}`)
      case 'abort':
        return end === 'committed' || branches === 'committed'
          ? this.#fail(`${txid} had to abort and is committed`)
          : undefined
      case 'decided':
        return end === this.#before ? undefined : this.#fail(`${txid} was ${this.#before} and is ${end}`)
      case 'either':
      case 'unharmed':
        return undefined
    }
  }

  get #required(): RequiredOutcome {
    const { point, way } = this.#parts
    const { outcome, elsewhere = outcome } = FAILPOINTS[point] as {
      outcome: RequiredOutcome
      elsewhere?: RequiredOutcome
    }
    return way === 'connection' || way === 'server' ? elsewhere : outcome
  }

  /** As any coordinator knows it. */
  #decision(): Decided | undefined {
    const txid = this.#hit?.txid
    if (txid === undefined) return undefined
    for (const { knowledge } of this.#parts.fleet.coordinators()) {
      const { kind } = knowledge(txid)
      if (kind === 'committed' || kind === 'aborted') return kind
    }
    return undefined
  }

  #fail(what: string): void {
    const { point, way, world } = this.#parts
    world.fail('crash point', `${point}, ${way}: ${what}`)
  }
}
