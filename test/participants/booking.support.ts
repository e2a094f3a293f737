import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFailed, onTestFinished } from 'vitest'
import { Concordat, service, type Transaction } from '../../src/client/index.ts'
import type { OpenBranchView } from '../../src/participant/index.ts'
import type { Fleet } from '../support/fleet.support.ts'
import { root } from '../support/program.support.ts'
import type { ApplicationOrders } from './booking-application.ts'
import type { ServiceOrders } from './booking-service.ts'

const SERVICE = fileURLToPath(new URL('./booking-service.ts', import.meta.url))
const APPLICATION = fileURLToPath(new URL('./booking-application.ts', import.meta.url))

/** What differs from an instance that does its work. */
export type InstanceOrders = Pick<ServiceOrders, 'prepareMs' | 'die'>

/** A service whose instances are processes, and the store that they share. */
export class BookingService {
  readonly name: string
  readonly store: string
  readonly #fleet: Fleet

  constructor(fleet: Fleet, name: string) {
    this.#fleet = fleet
    this.name = name
    this.store = join(fleet.directory, name)
    for (const folder of ['aside', 'booked']) mkdirSync(join(this.store, folder), { recursive: true })
    writeFileSync(join(this.store, 'calls'), '')
  }

  /** Starts an instance; the same `instance` has the same journal. */
  async start(instance: string, given: InstanceOrders = {}): Promise<Instance> {
    const { cluster, addresses } = this.#fleet
    const orders: ServiceOrders = {
      name: this.name,
      instance,
      coordinators: addresses,
      clusterId: cluster,
      journal: join(this.store, `journal-${instance}`),
      store: this.store,
      ...given,
    }
    const { child, line } = run(SERVICE, orders)
    return new Instance(this.name, child, `http://127.0.0.1:${await line}`)
  }

  /** Branches whose work became real. */
  get booked(): readonly string[] {
    return readdirSync(join(this.store, 'booked'))
  }

  /** Branches whose work waits. */
  get aside(): readonly string[] {
    return readdirSync(join(this.store, 'aside'))
  }

  /** Handlers that were called: `instance handler`. */
  get calls(): readonly string[] {
    const lines = readFileSync(join(this.store, 'calls'), 'utf8').trim().split('\n')
    return lines.map((line) => line.split(' ').slice(0, 2).join(' '))
  }
}

/** One process of a service. */
export class Instance {
  readonly name: string
  readonly url: string
  readonly #child: ChildProcess

  constructor(name: string, child: ChildProcess, url: string) {
    this.name = name
    this.#child = child
    this.url = url
  }

  /** The work of one call, inside the transaction. */
  async book(tx: Transaction, seat: string): Promise<void> {
    const branch = await tx.enlist(service(this.name))
    const answer = await fetch(this.url, { method: 'POST', headers: branch.headers(), body: seat })
    if (!answer.ok) throw new Error(await answer.text())
  }

  /** Branches that have not ended on this instance. */
  async open(): Promise<readonly OpenBranchView[]> {
    return (await (await fetch(`${this.url}/open`)).json()) as OpenBranchView[]
  }

  /** Resolves when the process is gone. */
  async gone(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#child.kill(signal)
    await this.gone()
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal)
  }
}

/** Runs an application until it kills itself, and answers its transaction's id. */
export async function crashApplication(fleet: Fleet, orders: Omit<ApplicationOrders, 'coordinators'>): Promise<string> {
  const { child, line } = run(APPLICATION, { coordinators: fleet.addresses, ...orders })
  const txid = await line
  if (child.signalCode === null) await once(child, 'exit')
  if (child.signalCode !== 'SIGKILL') throw new Error('the application survived its crash point')
  return txid
}

/** An application in the test's own process. */
export function application(fleet: Fleet): Concordat {
  const concordat = new Concordat({ coordinators: fleet.addresses, closeTimeoutMs: 1_000 })
  onTestFinished(() => concordat.close())
  return concordat
}

/** Runs a program of this folder, and answers the first line that it says. */
export function run(program: string, orders: object): { readonly child: ChildProcess; readonly line: Promise<string> } {
  const child = spawn(process.execPath, ['--import', 'tsx', program, JSON.stringify(orders)], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  onTestFailed(() => console.error(`${program} said:\n${output}`))
  const line = new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk
        if (stream === child.stdout && output.includes('\n')) resolve(output.split('\n')[0] ?? '')
      })
    }
    child.on('exit', () => reject(new Error(`${program} ended early:\n${output}`)))
  })
  line.catch(() => {})
  return { child, line }
}
