import type { Prng } from '../../base/index.ts'
import { type ServiceBranch, service, type Transaction } from '../../client/index.ts'
import type { Channels, SimProcess } from '../kernel/types.ts'
import type { Attempt } from '../oracle/index.ts'
import type { ServiceLedger } from '../participants/service-ledger.ts'
import type { ServiceCall, ServiceMachine, ServiceReply } from '../participants/service-machine.ts'
import type { Leg } from './operation.ts'
import type { ExaminedPlace, PlaceClient } from './place.ts'

/** Accounts in a service, which applications call at one of its instances. */
export class ServicePlace implements ExaminedPlace {
  readonly name: string
  readonly accounts: number
  readonly ledger: ServiceLedger
  readonly machines: readonly ServiceMachine[]

  constructor(name: string, accounts: number, ledger: ServiceLedger, machines: readonly ServiceMachine[]) {
    this.name = name
    this.accounts = accounts
    this.ledger = ledger
    this.machines = machines
  }

  open({ channels, random }: SimProcess): PlaceClient {
    return new ServiceClient(this, channels, random)
  }

  found = () => this.ledger.found()

  locked = () => this.ledger.locked()
}

/** One transaction's branch in the service, and the instance that holds it. */
interface Joined {
  readonly branch: ServiceBranch
  readonly address: string
}

class ServiceClient implements PlaceClient {
  readonly failing = undefined
  readonly #place: ServicePlace
  readonly #channels: Channels
  readonly #random: Prng
  readonly #joined = new WeakMap<Transaction, Promise<Joined>>()

  constructor(place: ServicePlace, channels: Channels, random: Prng) {
    this.#place = place
    this.#channels = channels
    this.#random = random
  }

  async work(tx: Transaction, operation: string, leg: Leg, attempt: Attempt): Promise<number> {
    const { account, amount, isLocked = false } = leg
    let joining = this.#joined.get(tx)
    if (joining === undefined) {
      joining = this.#join(tx)
      this.#joined.set(tx, joining)
    }
    const { branch, address } = await joining
    if (amount !== 0) attempt.effects.push({ database: this.#place.name, account, amount })
    const call: ServiceCall = { ticket: branch.ticket(), work: { operation, account, amount, isLocked } }
    return (await this.#call(address, call)) - amount
  }

  async close(): Promise<void> {}

  async #join(tx: Transaction): Promise<Joined> {
    const address = this.#random.pick(this.#place.machines).workAddress
    return { branch: await tx.enlist(service(this.#place.name)), address }
  }

  /** One call on a connection of its own. @throws Error when there is no answer, or a refusal */
  async #call(address: string, call: ServiceCall): Promise<number> {
    const channel = await this.#channels.connect(address)
    return new Promise((resolve, reject) => {
      channel.onMessage = (value) => {
        channel.close()
        const reply = value as ServiceReply
        if ('error' in reply) reject(new Error(reply.error))
        else resolve(reply.balance)
      }
      channel.onClose = (error) => reject(error ?? new Error('the service closed the connection'))
      channel.send(call)
    })
  }
}
