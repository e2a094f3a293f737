import type { Resource } from '../../resources/index.ts'
import type { TransactionView } from '../../txn/index.ts'
import { noFaults } from '../databases/index.ts'
import type { FleetView, SimProcess, Victim, Workload, WorkloadSize, World } from '../kernel/types.ts'
import { Oracle } from '../oracle/index.ts'
import { BankApplication } from './bank-application.ts'
import { BankDatabase } from './bank-database.ts'
import { calmBank, drawBank, drawFaults } from './bank-plan.ts'

/** P6: so long after the last fault, with a leader all the while, nothing is in doubt. Lost sessions are noticed late. */
const IN_DOUBT_MS_MAX = 30_000

/** How often the branches are compared with what coordinators say of them. */
const LOOK_MS = 100

/** Sessions of one coordinator's resolver in each database. */
const RESOLVER_SESSIONS = 2

/** Applications that move money between databases, and the oracle that watches them. See Workload. */
export class BankWorkload implements Workload {
  readonly world: World
  readonly fleet: FleetView
  readonly oracle: Oracle
  readonly databases: readonly BankDatabase[]
  readonly victims: readonly Victim[]
  readonly #size: WorkloadSize
  readonly #applications: readonly BankApplication[]
  readonly #openingBalance: number
  readonly #meddlings: number
  readonly #tally: Record<string, number> = {}
  #operations = 0
  #healedMs: number | undefined
  /** Since when somebody leads, after the last fault. */
  #ledSinceMs: number | undefined

  constructor(world: World, fleet: FleetView, size: WorkloadSize) {
    this.world = world
    this.fleet = fleet
    this.#size = size
    this.oracle = new Oracle(world)
    const plan = size.calm === true ? calmBank() : drawBank(world.random('bank'))
    this.#openingBalance = plan.openingBalance
    this.#meddlings = size.meddlings ?? plan.meddlings
    this.databases = plan.databases.map((options) => new BankDatabase(world, this.oracle, fleet.clusterId, options))
    const quota = Math.ceil(size.transactions / size.applications)
    this.#applications = Array.from(
      { length: size.applications },
      (_, index) => new BankApplication(this, index + 1, quota),
    )
    this.victims = [...this.databases, ...this.#applications]
  }

  get isLoading(): boolean {
    return this.#healedMs === undefined
  }

  /** No trouble but what comes from outside. */
  get isCalm(): boolean {
    return this.#size.calm === true
  }

  /** Average pause of one application between two operations. */
  get pauseMs(): number {
    const { durationMs, applications, transactions } = this.#size
    return Math.round((durationMs * applications) / Math.max(1, transactions))
  }

  readonly nextOperationId = (): string => {
    this.#operations += 1
    return `op-${this.#operations}`
  }

  readonly resources = (process: SimProcess): readonly Resource<unknown>[] =>
    this.databases.map((database) => database.resource(process, RESOLVER_SESSIONS))

  readonly tally = (): Readonly<Record<string, number>> => this.#tally

  count(what: string): void {
    this.#tally[what] = (this.#tally[what] ?? 0) + 1
  }

  start(): void {
    const random = this.world.random('bank faults')
    for (const database of this.databases) {
      if (!this.isCalm) Object.assign(database.server.faults, drawFaults(random))
      database.restart()
    }
    for (const application of this.#applications) application.restart()
    for (let i = 0; i < this.#meddlings; i++) {
      const database = random.pick(this.databases)
      this.world.after(random.below(this.#size.durationMs), () => database.meddle(this.oracle, random))
    }
    this.world.after(LOOK_MS, () => this.#look())
  }

  stopLoad(): void {
    this.#healedMs = this.world.nowMs
    for (const { server } of this.databases) Object.assign(server.faults, noFaults())
  }

  unsettled(): readonly string[] {
    const reasons = this.#applications.flatMap((application) => application.unsettled())
    const isLed = this.fleet.coordinators().some(({ leading }) => leading)
    this.#ledSinceMs = isLed ? (this.#ledSinceMs ?? this.world.nowMs) : undefined
    const prepared = this.oracle.branches.open()
    if (prepared.length > 0) {
      reasons.push(`${prepared.length} branches are prepared: ${prepared[0]}`)
      const doubtMs = this.world.nowMs - (this.#ledSinceMs ?? this.world.nowMs)
      if (doubtMs > IN_DOUBT_MS_MAX)
        this.world.fail('P6', `${prepared[0]} is in doubt ${doubtMs} ms after the last fault`)
    }
    const locked = this.databases.flatMap((database) => database.locked())
    if (locked.length > 0) reasons.push(`${locked.length} rows are locked: ${locked[0]}`)
    return reasons
  }

  checkStep(): void {}

  checkEnd(): void {
    const { oracle } = this
    const found = this.databases.map((database) => database.found())
    oracle.effects.check(
      { effects: found.flatMap(({ effects }) => effects), accounts: found.flatMap(({ accounts }) => accounts) },
      this.#openingBalance,
      { finalOf: (txid) => oracle.answers.finalOf(txid), isForced: (txid) => oracle.branches.isForced(txid) },
    )
    oracle.checkAnswersAgainstBranches()
    oracle.checkForced((txid) => this.#viewOf(txid))
    oracle.checkFree(this.databases.flatMap((database) => database.locked()))
    this.#checkCoordinators()
  }

  /** A transaction as the leader has it. */
  #viewOf(txid: string): TransactionView | undefined {
    return this.fleet
      .coordinators()
      .find(({ leading }) => leading)
      ?.transaction(txid)
  }

  /** P7: a committed transaction is completed only when each of its branches has ended. */
  #look(): void {
    if (this.world.failed) return
    for (const { txid, where } of this.oracle.branches.openOnes()) {
      const view = this.#viewOf(txid)
      if (view?.state === 'completed' && view.outcome?.kind === 'committed') {
        this.world.fail('P7', `${txid} is committed and completed, and ${where} is still prepared`)
      }
    }
    this.world.after(LOOK_MS, () => this.#look())
  }

  /** P2, P3: every coordinator says what clients heard; P1: and with evidence everywhere nothing is left to an operator. */
  #checkCoordinators(): void {
    const hasEvidence = this.#meddlings === 0 && this.databases.every((database) => database.hasEvidence)
    for (const { nodeId, knowledge, heuristicCount } of this.fleet.coordinators()) {
      if (hasEvidence && heuristicCount > 0) {
        this.world.fail('P1', `node ${nodeId} has ${heuristicCount} heuristic findings although evidence is everywhere`)
      }
      for (const [txid, outcome] of this.oracle.answers.finals()) {
        const { kind } = knowledge(txid)
        if ((kind === 'committed' || kind === 'aborted') && kind !== outcome) {
          this.world.fail('P3', `a client heard "${outcome}" of ${txid}, and node ${nodeId} says "${kind}"`)
        }
      }
    }
  }
}
