import { InvariantError, type Prng, sleep } from '../../base/index.ts'
import {
  Concordat,
  OutcomeUnknownError,
  RemoteCoordinators,
  type Transaction,
  TransactionAbortedError,
} from '../../client/index.ts'
import { silentLogger } from '../../coordinator/index.ts'
import type { SimProcess, Victim } from '../kernel/types.ts'
import type { Bank } from './bank.ts'
import { type Entry, isOpen, type Result } from './notebook.ts'
import { ObservedPort } from './observed-port.ts'
import { drawMischief, type Mischief } from './operation.ts'
import type { Place, PlaceClient } from './place.ts'
import { carryOut, type Desk, Refused } from './transfer.ts'

/** Operations under way in one application, at most: beyond it everything would only wait for everything. */
const OPEN_MAX = 10
/** An operation is tried so often, at most. */
const ATTEMPTS_MAX = 3
/** A lone transaction in doubt is asked about so often; then it stays unknown. */
const LONE_QUESTIONS_MAX = 5

/** One run of an application process: the production client, and what it works on. */
interface Run {
  readonly process: SimProcess
  readonly random: Prng
  readonly concordat: Concordat
  readonly clients: ReadonlyMap<Place, PlaceClient>
  /** It is being closed: what has not begun is left to the next run. */
  isLeaving: boolean
}

/**
 * An application of the bank: carries out operations over the production client, asks about outcomes that it does not
 * know, and tries again what was aborted. It may die at any await; what it began is in its notebook, and its next run
 * asks about that first.
 */
export class BankApplication implements Victim {
  readonly kind = 'application'
  readonly name: string
  readonly host: string
  readonly #workload: Bank
  readonly #notebook: Entry[] = []
  readonly #quota: number

  constructor(workload: Bank, number: number, quota: number) {
    this.#workload = workload
    this.#quota = quota
    this.name = `app-${number}`
    this.host = `127.0.3.${number}`
  }

  restart(): void {
    const { name, host } = this
    const { world } = this.#workload
    if (world.process(name) !== undefined) return
    world.spawn({ name, host, main: (process) => this.#main(process) })
  }

  get #openCount(): number {
    let count = 0
    for (const entry of this.#notebook) if (isOpen(entry)) count += 1
    return count
  }

  /** What it still has to find out or to finish. */
  unsettled(): readonly string[] {
    const open = this.#notebook.filter(isOpen)
    if (open.length === 0) return []
    const [{ operation, progress, current }] = open as [Entry]
    return [`${this.name} has ${open.length} open operations: ${operation.id} is ${progress} by ${current?.txid}`]
  }

  async #main(process: SimProcess): Promise<void> {
    const run = this.#open(process)
    for (const entry of this.#notebook) if (isOpen(entry)) void this.#resume(run, entry)
    const { pauseMs, isCalm } = this.#workload
    while (this.#workload.isLoading && this.#notebook.length < this.#quota) {
      await sleep(process.clock, run.random.below(2 * pauseMs + 1))
      if (!process.alive || !this.#workload.isLoading) return
      if (!isCalm && run.random.chance(0.003)) return this.#leave(run)
      if (this.#openCount >= OPEN_MAX) continue
      if (!isCalm && run.random.chance(0.01)) this.#dieSoon(run)
      void this.#begin(run)
    }
  }

  /** In the middle of its work, most likely between PREPARE and the end of phase two. */
  #dieSoon({ process, random }: Run): void {
    const { world } = this.#workload
    const death = random.pick(['killed', 'power'] as const)
    world.after(random.below(40), () => {
      if (!process.alive || !this.#workload.isLoading) return
      world.mark(`application: dies at work, ${death}`)
      process.kill(death)
      world.after(random.pick([10, 300, 3_000]), () => this.restart())
    })
  }

  #open(process: SimProcess): Run {
    const { world, fleet, oracle, places } = this.#workload
    const random = () => process.random.uint32() / 2 ** 32
    const remote = new RemoteCoordinators({
      addresses: fleet.addresses.map(parseAddress),
      tls: undefined,
      name: this.name,
      clusterId: process.random.chance(0.5) ? fleet.clusterId : undefined,
      network: process.network,
      clock: process.clock,
      random,
      logger: silentLogger,
      schedule: process.later,
    })
    const port = new ObservedPort(remote, oracle, this.name, () => world.nowMs)
    const options = { decisionTimeoutMs: process.random.pick([300, 1_000, 5_000]), closeTimeoutMs: 2_000 }
    const { clock, randomFill } = process
    return {
      process,
      random: process.random,
      concordat: Concordat.over(port, options, { clock, random, randomFill }),
      clients: new Map(places.map((place) => [place, place.open(process)])),
      isLeaving: false,
    }
  }

  /** A planned restart: it closes the client in good order, and comes back. */
  async #leave(run: Run): Promise<void> {
    const { world } = this.#workload
    const { concordat, process, clients } = run
    run.isLeaving = true
    world.mark('application: closes its client while it works')
    await concordat.close()
    if (!process.alive) return
    for (const client of clients.values()) void client.close()
    process.exit()
    world.after(20, () => this.restart())
  }

  async #begin(run: Run): Promise<void> {
    const operation = this.#workload.nextOperation(run.random)
    const isLone = new Set(operation.legs.map(({ place }) => place)).size === 1
    const entry: Entry = { operation, progress: 'waiting', attempts: 0, current: undefined, isLone }
    this.#notebook.push(entry)
    await this.#tryAll(run, entry)
  }

  /** An earlier run died with it. */
  async #resume(run: Run, entry: Entry): Promise<void> {
    // Without a txid nothing was begun.
    if (entry.current === undefined) entry.progress = 'waiting'
    if (entry.progress !== 'waiting') {
      // Only the process that ran a lone transaction could ask its database.
      if (entry.isLone) return this.#end(entry, 'lost')
      this.#workload.world.mark('application: asks about what an earlier run began')
      entry.progress = 'asking'
      await this.#learn(run, entry)
    }
    if (run.process.alive) await this.#tryAll(run, entry)
  }

  async #tryAll(run: Run, entry: Entry): Promise<void> {
    while (run.process.alive && !run.isLeaving && entry.progress === 'waiting') {
      if (entry.attempts >= ATTEMPTS_MAX || !this.#workload.isLoading) return this.#end(entry, 'gaveUp')
      entry.attempts += 1
      entry.progress = 'running'
      const isKnown = await this.#tryOnce(run, entry)
      if (run.process.alive && !isKnown) await this.#learn(run, entry)
    }
  }

  /** False: what became of it must be asked. */
  async #tryOnce({ process, random, concordat, clients }: Run, entry: Entry): Promise<boolean> {
    const { world, oracle } = this.#workload
    entry.current = undefined
    const askedMs = world.nowMs
    const mischief: Mischief = entry.operation.isAudit ? 'none' : drawMischief(random)
    const controller = new AbortController()
    const signal = random.chance(0.06) ? controller.signal : undefined
    const timeoutMs = random.chance(0.1) ? random.between(1, 200) : random.pick([1_500, 3_000, 8_000])
    if (signal !== undefined) process.clock.after(random.below(60), () => controller.abort())
    const work = async (tx: Transaction): Promise<number> => {
      const attempt = oracle.effects.began(tx.txid, entry.operation.id)
      entry.current = { ...attempt, txid: tx.txid }
      const clientOf: Desk['clientOf'] = (place) => clients.get(place)!
      const desk = { clock: process.clock, clientOf, attempt, mischief, dawdleMs: random.between(1, 2_000) }
      const sum = await carryOut(tx, entry.operation, desk)
      oracle.answers.wantsCommit(tx.txid)
      return sum
    }
    try {
      const sum = await concordat.transaction({ timeoutMs, ...(signal !== undefined && { signal }) }, work)
      if (!process.alive) return true
      if (entry.operation.isAudit) this.#workload.audited(entry.current!.txid, sum)
      oracle.answers.heard(entry.current!.txid, { by: this.name, heard: 'committed', askedMs })
      this.#end(entry, 'committed')
      return true
    } catch (thrown) {
      return !process.alive || this.#failed(entry, thrown, askedMs)
    }
  }

  #failed(entry: Entry, thrown: unknown, askedMs: number): boolean {
    const { oracle, world } = this.#workload
    if (isMistake(thrown)) world.fail('client', `${this.name}: ${thrown.stack ?? thrown.message}`)
    const txid = entry.current?.txid
    if (thrown instanceof OutcomeUnknownError) {
      this.#workload.count('unknown')
      oracle.answers.heard(thrown.txid, { by: this.name, heard: 'unknown', askedMs })
      entry.progress = 'asking'
      return false
    }
    // Everything else says: rolled back, nothing is left behind.
    if (txid !== undefined) oracle.answers.heard(txid, { by: this.name, heard: 'aborted', askedMs })
    this.#workload.count('aborted')
    if (thrown instanceof TransactionAbortedError) world.mark(`application: aborted, ${thrown.reason}`)
    else world.mark(`application: threw ${(thrown as { code?: unknown }).code ?? (thrown as Error).name}`)
    if (thrown instanceof Refused) this.#end(entry, 'refused')
    else entry.progress = 'waiting'
    return true
  }

  /** Asks until the present attempt's outcome is known. */
  async #learn({ process, concordat }: Run, entry: Entry): Promise<void> {
    const { oracle, world } = this.#workload
    const { txid } = entry.current!
    for (let count = 1; ; count++) {
      const askedMs = world.nowMs
      const heard = await concordat.outcome(txid, { timeoutMs: 3_000 }).catch((thrown: unknown) => {
        if (isMistake(thrown)) world.fail('client', `${this.name}: ${thrown.stack ?? thrown.message}`)
        return undefined
      })
      if (!process.alive) return
      if (heard !== undefined) oracle.answers.heard(txid, { by: this.name, heard, askedMs })
      if (heard === 'committed') return this.#end(entry, 'committed')
      if (heard === 'aborted') {
        entry.progress = 'waiting'
        return
      }
      if (heard === 'forgotten' || (entry.isLone && count >= LONE_QUESTIONS_MAX)) return this.#end(entry, 'lost')
      await sleep(process.clock, 100)
      if (!process.alive) return
    }
  }

  #end(entry: Entry, result: Result): void {
    entry.progress = result
    this.#workload.count(result)
  }
}

/** A bug of the product, not an answer of it. */
function isMistake(thrown: unknown): thrown is Error {
  return (
    thrown instanceof InvariantError ||
    thrown instanceof TypeError ||
    thrown instanceof ReferenceError ||
    thrown instanceof RangeError
  )
}

function parseAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':')
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) }
}
