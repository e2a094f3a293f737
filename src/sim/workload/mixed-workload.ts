import type { Resource } from '../../resources/index.ts'
import type { HttpPlace, ServerConfig } from '../../server/index.ts'
import type { DiskedWorld, FleetView, SimProcess, Victim, Workload, WorkloadSize } from '../kernel/types.ts'
import { type FoundState, Oracle } from '../oracle/index.ts'
import { HTTP_CALM, SERVICE_CREDENTIALS, SimHttpExchange } from '../participants/http-world.ts'
import { KvMachine } from '../participants/kv-machine.ts'
import type { ParticipantMachine } from '../participants/machine.ts'
import { ServiceLedger } from '../participants/service-ledger.ts'
import { ServiceMachine } from '../participants/service-machine.ts'
import { BankWorkload } from './bank-workload.ts'
import { KvPlace } from './kv-place.ts'
import { drawMixed, type MixedPlan, type ServicePlan } from './mixed-plan.ts'
import { ServicePlace } from './service-place.ts'

/** Where the stores are read from at the end. */
const AUDITOR = { name: 'auditor', host: '127.0.3.99' }

/**
 * A bank whose accounts lie in databases, key-value participants and services at the same time, with audits that lock and
 * read all of them. See Workload, and docs/decisions/0030.
 */
export class MixedWorkload implements Workload {
  readonly victims: readonly Victim[]
  readonly services: ServerConfig['participants']
  readonly #world: DiskedWorld
  readonly #fleet: FleetView
  readonly #plan: MixedPlan
  readonly #bank: BankWorkload
  readonly #oracle: Oracle
  readonly #stores: readonly KvPlace[]
  readonly #servicePlaces: readonly ServicePlace[]
  readonly #machines: readonly ParticipantMachine[]
  #hosts = 0
  /** What the stores hold, read at the end. */
  #read: readonly FoundState[] | 'reading' | undefined

  constructor(world: DiskedWorld, fleet: FleetView, size: WorkloadSize) {
    this.#world = world
    this.#fleet = fleet
    this.#oracle = new Oracle(world)
    const plan = drawMixed(world.random('mixed'))
    this.#plan = plan
    this.#stores = plan.stores.map((store) => {
      const machine = new KvMachine(world, { ...store, ...this.#shared(), host: this.#nextHost() })
      return new KvPlace(machine, plan.accounts, plan.bank.openingBalance)
    })
    this.#servicePlaces = plan.services.map((service) => this.#makeService(service))
    this.#machines = [
      ...this.#stores.map(({ machine }) => machine),
      ...this.#servicePlaces.flatMap(({ machines }) => machines),
    ]
    this.#bank = new BankWorkload(world, fleet, size, {
      oracle: this.#oracle,
      plan: plan.bank,
      others: [...this.#stores, ...this.#servicePlaces],
      found: () => this.#found(),
      locked: () => this.#servicePlaces.flatMap((place) => place.locked()),
      audits: plan.audits,
    })
    this.victims = [...this.#bank.victims, ...this.#machines]
    this.services = plan.services.map(({ name, isHttp, instances }) => ({
      name,
      url: isHttp ? Array.from({ length: instances }, (_, index) => urlOf(name, index + 1)) : [],
      ...(isHttp && SERVICE_CREDENTIALS),
      plainHttp: true,
      timeoutMs: plan.httpTimeoutMs,
      concurrency: 8,
    }))
  }

  readonly resources = (process: SimProcess): readonly Resource<unknown>[] => this.#bank.resources(process)

  readonly httpExchange = (process: SimProcess, place: HttpPlace): SimHttpExchange => {
    const chaos = () => (this.#bank.isLoading ? this.#plan.chaos : HTTP_CALM)
    return new SimHttpExchange(process, place, chaos, (name) => this.#world.mark(name))
  }

  readonly tally = (): Readonly<Record<string, number>> => this.#bank.tally()

  start(): void {
    for (const machine of this.#machines) machine.restart()
    this.#bank.start()
  }

  stopLoad(): void {
    this.#bank.stopLoad()
  }

  unsettled(): readonly string[] {
    const reasons = [...this.#bank.unsettled(), ...this.#machines.flatMap((machine) => machine.unsettled())]
    if (reasons.length > 0) {
      // What was read before somebody went on is worth nothing.
      if (this.#read !== 'reading') this.#read = undefined
      return reasons
    }
    if (this.#read === undefined) this.#startReading()
    return this.#read === 'reading' ? ['the stores are being read'] : []
  }

  checkStep(): void {}

  checkEnd(): void {
    this.#bank.checkEnd()
  }

  #found(): readonly FoundState[] {
    const stores = this.#read === 'reading' || this.#read === undefined ? [] : this.#read
    return [...stores, ...this.#servicePlaces.map((place) => place.found())]
  }

  #startReading(): void {
    this.#read = 'reading'
    const main = async (process: SimProcess): Promise<void> => {
      const found: FoundState[] = []
      for (const place of this.#stores) {
        const store = place.store(process)
        found.push(await place.read(store))
        await store.close()
      }
      this.#read = found
      process.exit()
    }
    this.#world.spawn({ ...AUDITOR, main })
  }

  #makeService(service: ServicePlan): ServicePlace {
    const { accounts, bank } = this.#plan
    const { name, instances, isHttp } = service
    const fail = (check: string, what: string): void => this.#world.fail(check, what)
    const ledger = new ServiceLedger(name, accounts, bank.openingBalance, this.#oracle, fail)
    const machines = Array.from({ length: instances }, (_, index) => {
      const instance = index + 1
      const url = isHttp ? urlOf(name, instance) : undefined
      const own = { instance, url, ledger, host: this.#nextHost() }
      return new ServiceMachine(this.#world, { ...service, ...this.#shared(), ...own })
    })
    return new ServicePlace(name, accounts, ledger, machines)
  }

  #shared() {
    const onVote = (machine: ParticipantMachine): void => this.#dieSoon(machine)
    return { clusterId: this.#fleet.clusterId, coordinators: () => this.#fleet.addresses, onVote }
  }

  /** In doubt is where a participant is most easily hurt, and few random faults find it there. */
  #dieSoon(machine: ParticipantMachine): void {
    const world = this.#world
    const random = world.random('deaths at votes')
    if (!this.#bank.isLoading || !random.chance(this.#plan.deathsAtVotes)) return
    const process = world.process(machine.name)
    const death = random.pick(['killed', 'power'] as const)
    world.after(random.below(random.pick([1, 10, 100])), () => {
      if (process?.alive !== true || !this.#bank.isLoading) return
      world.mark(`participant: dies when it has voted, ${death}`)
      process.kill(death)
      world.after(random.pick([10, 300, 3_000]), () => machine.restart())
    })
  }

  #nextHost(): string {
    this.#hosts += 1
    return `127.0.5.${this.#hosts}`
  }
}

function urlOf(service: string, instance: number): string {
  return `http://${service}-${instance}.test`
}
