import type { Txid } from '../../base/index.ts'
import type { Reply } from '../../coordinator/index.ts'
import type { FleetView, SimProcess, Victim, Workload, WorkloadSize, World } from '../kernel/types.ts'
import { DecisionsApplication } from './decisions-application.ts'
import { decisionsResource } from './decisions-resource.ts'
import type { DecisionRecord } from './record.ts'

/**
 * Applications that only ask for decisions, over the production client and without databases: for the speed of the
 * kernel, and for everything that concerns coordinators alone.
 */
export class DecisionsWorkload implements Workload {
  readonly victims: readonly Victim[]
  readonly #world: World
  readonly #fleet: FleetView
  readonly #size: WorkloadSize
  readonly #records = new Map<Txid, DecisionRecord>()
  readonly #applications: DecisionsApplication[]
  readonly #tally = { committed: 0, aborted: 0, unknown: 0 }
  #loading = true

  constructor(world: World, fleet: FleetView, size: WorkloadSize) {
    this.#world = world
    this.#fleet = fleet
    this.#size = size
    this.#applications = Array.from({ length: size.applications }, (_, i) => new DecisionsApplication(this, i + 1))
    this.victims = this.#applications
  }

  get world(): World {
    return this.#world
  }

  get fleet(): FleetView {
    return this.#fleet
  }

  get loading(): boolean {
    return this.#loading
  }

  readonly resources = (_process: SimProcess) => [
    decisionsResource(0, () => this.#records),
    decisionsResource(1, () => this.#records),
  ]

  /** Average pause of one application between two transactions. */
  get pauseMs(): number {
    const { durationMs, applications, transactions } = this.#size
    return (durationMs * applications) / Math.max(1, transactions)
  }

  get transactionsPerApplication(): number {
    return Math.ceil(this.#size.transactions / this.#size.applications)
  }

  start(): void {
    for (const application of this.#applications) application.restart()
  }

  stopLoad(): void {
    this.#loading = false
  }

  unsettled(): readonly string[] {
    const reasons: string[] = []
    for (const application of this.#applications) {
      const open = application.records.filter((record) => !record.settled)
      if (open.length > 0) reasons.push(`${application.name} waits for ${open.map(({ txid }) => txid).join(', ')}`)
    }
    return reasons
  }

  checkStep(): void {}

  /** P1, and P3: every coordinator knows what applications were told. */
  checkEnd(): void {
    for (const { txid, ended } of this.#records.values()) {
      if (ended[0] !== ended[1])
        this.#world.fail('P1', `${txid} is ${ended[0]} in one database and ${ended[1]} in the other`)
    }
    for (const { nodeId, knowledge } of this.#fleet.coordinators()) {
      for (const { txid, told } of this.#records.values()) {
        const { kind } = knowledge(txid)
        if (told !== undefined && kind !== told && kind !== 'forgotten') {
          this.#world.fail('P3', `an application heard ${told} of ${txid}, and node ${nodeId} says ${kind}`)
        }
      }
    }
  }

  readonly tally = () => this.#tally

  add(record: DecisionRecord): void {
    this.#records.set(record.txid, record)
  }

  /** An answer arrived at a living application. True: it is final. */
  take(record: DecisionRecord, reply: Reply): boolean {
    if (reply.kind === 'refused') {
      this.#tally.unknown++
      return false
    }
    const { kind } = reply.outcome
    if (kind !== 'committed' && kind !== 'aborted') return kind === 'forgotten'
    if (record.told === undefined) this.#tally[kind]++
    else if (record.told !== kind) this.#world.fail('P2', `${record.txid} was ${record.told} and is now ${kind}`)
    record.told = kind
    return true
  }
}
