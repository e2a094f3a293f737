import type { Prng } from '../../base/index.ts'
import type { Resource } from '../../resources/index.ts'
import type { TransactionView } from '../../txn/index.ts'
import { noFaults } from '../databases/index.ts'
import type { FleetView, SimProcess, Victim, Workload, WorkloadSize, World } from '../kernel/types.ts'
import { type FoundState, Oracle } from '../oracle/index.ts'
import type { Bank } from './bank.ts'
import { BankApplication } from './bank-application.ts'
import { BankDatabase } from './bank-database.ts'
import { type BankPlan, calmBank, drawBank, drawFaults } from './bank-plan.ts'
import { auditOf, drawOperation, type Operation } from './operation.ts'
import type { Place } from './place.ts'

/** P6: so long after the last fault, with a leader all the while, nothing is in doubt. Lost sessions are noticed late. */
const IN_DOUBT_MS_MAX = 30_000

/** How often the branches are compared with what coordinators say of them. */
const LOOK_MS = 100

/** Sessions of one coordinator's resolver in each database. */
const RESOLVER_SESSIONS = 2

/** A bank with more than databases. */
export interface BankSetup {
  readonly oracle: Oracle
  readonly plan: BankPlan
  /** Other places, and how the last checks see them. */
  readonly others: readonly Place[]
  readonly found: () => readonly FoundState[]
  readonly locked: () => readonly string[]
  /** Chance of an operation to be an audit. */
  readonly audits: number
}

/** Applications that move money between databases, and the oracle that watches them. See Workload. */
export class BankWorkload implements Workload, Bank {
  readonly world: World
  readonly fleet: FleetView
  readonly oracle: Oracle
  readonly databases: readonly BankDatabase[]
  readonly places: readonly Place[]
  readonly victims: readonly Victim[]
  readonly #size: WorkloadSize
  readonly #applications: readonly BankApplication[]
  readonly #openingBalance: number
  readonly #meddlings: number
  readonly #setup: BankSetup | undefined
  readonly #tally: Record<string, number> = {}
  #operations = 0
  #healedMs: number | undefined
  /** Since when somebody leads, after the last fault. */
  #ledSinceMs: number | undefined

  constructor(world: World, fleet: FleetView, size: WorkloadSize, setup?: BankSetup) {
    this.world = world
    this.fleet = fleet
    this.#size = size
    this.#setup = setup
    this.oracle = setup?.oracle ?? new Oracle(world)
    const plan = setup?.plan ?? (size.calm === true ? calmBank() : drawBank(world.random('bank')))
    this.#openingBalance = plan.openingBalance
    this.#meddlings = size.meddlings ?? plan.meddlings
    this.databases = plan.databases.map((options) => new BankDatabase(world, this.oracle, fleet.clusterId, options))
    this.places = [...this.databases, ...(setup?.others ?? [])]
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

  readonly nextOperation = (random: Prng): Operation => {
    this.#operations += 1
    const id = `op-${this.#operations}`
    const audits = this.#setup?.audits ?? 0
    return audits > 0 && random.chance(audits) ? auditOf(id, this.places) : drawOperation(random, id, this.places)
  }

  readonly resources = (process: SimProcess): readonly Resource<unknown>[] =>
    this.databases.map((database) => database.resource(process, RESOLVER_SESSIONS))

  readonly tally = (): Readonly<Record<string, number>> => this.#tally

  /** Strict two-phase locking everywhere and one decision for all: whoever holds every lock sees one moment (docs/decisions/0030). */
  audited(txid: string, sum: number): void {
    const due = this.#openingBalance * this.places.reduce((count, { accounts }) => count + accounts, 0)
    this.count('audits')
    if (sum !== due) this.world.fail('audit', `${txid} saw ${sum} in all accounts together, which have ${due}`)
  }

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
    const locked = this.#locked()
    if (locked.length > 0) reasons.push(`${locked.length} rows are locked: ${locked[0]}`)
    return reasons
  }

  checkStep(): void {}

  checkEnd(): void {
    const { oracle } = this
    const found = [...this.databases.map((database) => database.found()), ...(this.#setup?.found() ?? [])]
    oracle.effects.check(
      { effects: found.flatMap(({ effects }) => effects), accounts: found.flatMap(({ accounts }) => accounts) },
      this.#openingBalance,
      { finalOf: (txid) => oracle.answers.finalOf(txid), isForced: (txid) => oracle.branches.isForced(txid) },
    )
    oracle.checkAnswersAgainstBranches()
    oracle.checkForced((txid) => this.#viewOf(txid))
    oracle.checkFree(this.#locked())
    this.#checkCoordinators()
  }

  #locked(): readonly string[] {
    return [...this.databases.flatMap((database) => database.locked()), ...(this.#setup?.locked() ?? [])]
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
