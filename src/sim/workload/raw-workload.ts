import type { ParticipantPort } from '../../coordinator/index.ts'
import type { FleetView, SimProcess, Victim, Workload, WorkloadSize, World } from '../kernel/types.ts'
import { Oracle } from '../oracle/index.ts'
import { ParticipantChannels } from './participant-channels.ts'
import { RawClient } from './raw-client.ts'
import { ScriptedParticipant } from './scripted-participant.ts'

const PARTICIPANTS = 3
/** A transaction here costs half of one with databases. */
const RATE = 2

/** The protocol by hand, at a high rate: clients without care and scripted participants. See Workload. */
export class RawWorkload implements Workload {
  readonly world: World
  readonly fleet: FleetView
  readonly oracle: Oracle
  readonly participants: readonly ScriptedParticipant[]
  readonly victims: readonly Victim[]
  readonly #size: WorkloadSize
  readonly #clients: readonly RawClient[]
  readonly #tally: Record<string, number> = {}
  #loading = true

  constructor(world: World, fleet: FleetView, size: WorkloadSize) {
    this.world = world
    this.fleet = fleet
    this.#size = size
    this.oracle = new Oracle(world)
    this.participants = Array.from({ length: PARTICIPANTS }, (_, index) => new ScriptedParticipant(this, index + 1))
    const quota = Math.ceil((RATE * size.transactions) / size.applications)
    this.#clients = Array.from({ length: size.applications }, (_, index) => new RawClient(this, index + 1, quota))
    this.victims = [...this.participants, ...this.#clients]
  }

  get isLoading(): boolean {
    return this.#loading
  }

  /** Nobody waits long for a vote. */
  get isCalm(): boolean {
    return this.#size.calm === true
  }

  /** Average pause of one client between two transactions. */
  get pauseMs(): number {
    const { durationMs, applications, transactions } = this.#size
    return Math.max(1, Math.round((durationMs * applications) / Math.max(1, RATE * transactions)))
  }

  readonly resources = (): readonly [] => []

  readonly participantPort = (process: SimProcess): ParticipantPort =>
    new ParticipantChannels(process, new Map(this.participants.map(({ name, address }) => [name, address])))

  readonly tally = (): Readonly<Record<string, number>> => this.#tally

  count(what: string): void {
    this.#tally[what] = (this.#tally[what] ?? 0) + 1
  }

  start(): void {
    for (const participant of this.participants) participant.restart()
    for (const client of this.#clients) client.restart()
  }

  stopLoad(): void {
    this.#loading = false
  }

  unsettled(): readonly string[] {
    const reasons: string[] = []
    for (const { name, unsettledCount } of this.#clients) {
      if (unsettledCount > 0) reasons.push(`${name} waits for ${unsettledCount} outcomes`)
    }
    for (const { name, inDoubtCount } of this.participants) {
      if (inDoubtCount > 0) reasons.push(`${name} is in doubt about ${inDoubtCount} branches`)
    }
    return reasons
  }

  checkStep(): void {}

  checkEnd(): void {
    const { oracle } = this
    oracle.checkAnswersAgainstBranches()
    oracle.checkContradicted()
    oracle.checkFree([])
    for (const { nodeId, knowledge } of this.fleet.coordinators()) {
      for (const [txid, outcome] of oracle.answers.finals()) {
        const { kind } = knowledge(txid)
        if ((kind === 'committed' || kind === 'aborted') && kind !== outcome) {
          this.world.fail('P3', `a client heard "${outcome}" of ${txid}, and node ${nodeId} says "${kind}"`)
        }
      }
    }
  }
}
