import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFailed, onTestFinished } from 'vitest'
import { credentialHeaders, type InDoubtAnswer } from '../../src/api/index.ts'
import { Concordat, service, type Transaction } from '../../src/client/index.ts'
import { Fleet, freePorts } from '../support/fleet.support.ts'
import { root } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'
import type { SavingsOrders } from './savings-service.ts'

export const PYTHON_EXAMPLE = join(root, 'examples/http-services/payments.py')
const SAVINGS = fileURLToPath(new URL('./savings-service.ts', import.meta.url))
const SECRET = 'what only these services and coordinators know'

/** Whether this machine has a Python that the example runs on. Without one its tests say that they are skipped. */
export const hasPython = findPython()

function findPython(): boolean {
  const script = 'import sys, sqlite3; sys.exit(sys.version_info < (3, 9) or sqlite3.sqlite_version_info < (3, 33))'
  const isThere = spawnSync('python3', ['-c', script]).status === 0
  if (!isThere) console.warn('python3 (3.9 or newer, with SQLite 3.33) is not on this machine: its tests are skipped')
  return isThere
}

/** A service in a process of its own, at the same port after each start. */
export class ServiceProcess {
  readonly name: string
  readonly port: number
  readonly #command: readonly string[]
  readonly #env: Readonly<Record<string, string>>
  #child: ChildProcess | undefined

  constructor(name: string, port: number, command: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.name = name
    this.port = port
    this.#command = command
    this.#env = env
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const [program = '', ...args] = this.#command
    const child = spawn(program, args, {
      cwd: root,
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    onTestFinished(() => void child.kill('SIGKILL'))
    let output = ''
    onTestFailed(() => console.error(`${this.name} said:\n${output}`))
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk
      })
    }
    await until(`${this.name} listens`, () => output.includes(String(this.port)))
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal)
  }

  /** One call of an application, as part of its transaction. Answers what the service answered. */
  async call(tx: Transaction, path: string, body: object): Promise<unknown> {
    const branch = await tx.enlist(service(this.name))
    const answer = await fetch(`${this.url}${path}`, {
      method: 'POST',
      headers: { ...branch.headers(), 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.any([tx.signal, AbortSignal.timeout(2_000)]),
    })
    if (!answer.ok) throw new Error(await answer.text())
    return answer.json()
  }

  /** What it says to a coordinator that asks what has not ended; undefined when it does not answer. */
  async inDoubt(cluster: string): Promise<InDoubtAnswer['branches'] | undefined> {
    const target = `/v1/in-doubt?cluster=${cluster}`
    const request = { method: 'GET', target, body: '' }
    const headers = credentialHeaders({ secret: SECRET }, Math.floor(Date.now() / 1_000), request)
    const answer = await fetch(`${this.url}/concordat${target}`, { headers, signal: AbortSignal.timeout(1_000) }).catch(
      () => undefined,
    )
    return answer?.ok ? ((await answer.json()) as InDoubtAnswer).branches : undefined
  }

  async get(path: string): Promise<unknown> {
    return (await fetch(`${this.url}${path}`)).json()
  }
}

/** Money in a Python service (`payments`) and in a Fastify service (`savings`), and a fleet that calls both. */
export class Bank {
  static readonly START = 1_000
  readonly fleet: Fleet
  readonly payments: ServiceProcess
  readonly savings: ServiceProcess
  readonly #store: string

  private constructor(fleet: Fleet, payments: ServiceProcess, savings: ServiceProcess, store: string) {
    this.fleet = fleet
    this.payments = payments
    this.savings = savings
    this.#store = store
  }

  static async open(): Promise<Bank> {
    const [paymentsPort = 0, savingsPort = 0] = await freePorts(2)
    const participants = Object.entries({ payments: paymentsPort, savings: savingsPort }).map(([name, port]) => ({
      name,
      url: `http://127.0.0.1:${port}/concordat`,
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the configuration's own form
      secret: '${SERVICES_SECRET}',
      timeoutMs: 1_000,
    }))
    const fleet = await Fleet.start({ config: { participants }, env: { SERVICES_SECRET: SECRET } })
    const store = join(fleet.directory, 'savings')
    for (const folder of ['aside', 'booked']) mkdirSync(join(store, folder), { recursive: true })
    const orders: SavingsOrders = {
      clusterId: fleet.cluster,
      port: savingsPort,
      secret: SECRET,
      journal: join(store, 'journal'),
      store,
    }
    const savings = new ServiceProcess('savings', savingsPort, [
      process.execPath,
      '--import',
      'tsx',
      SAVINGS,
      JSON.stringify(orders),
    ])
    const payments = new ServiceProcess('payments', paymentsPort, ['python3', PYTHON_EXAMPLE], {
      CLUSTER: fleet.cluster,
      NAME: 'payments',
      DATABASE: join(fleet.directory, 'payments.db'),
      SECRET,
      PORT: String(paymentsPort),
      ACCOUNTS: `ada=${Bank.START}`,
    })
    await Promise.all([payments.start(), savings.start()])
    return new Bank(fleet, payments, savings, store)
  }

  application(timeoutMs = 30_000): Concordat {
    const concordat = new Concordat({ coordinators: this.fleet.addresses, timeoutMs, closeTimeoutMs: 1_000 })
    onTestFinished(() => concordat.close())
    return concordat
  }

  /** Moves money from one service to the other. */
  async move(tx: Transaction, amount: number): Promise<void> {
    await this.payments.call(tx, '/charge', { account: 'ada', amount })
    await this.savings.call(tx, '/credit', { amount })
  }

  /** What is booked: payments, savings. */
  async balances(): Promise<readonly [number, number]> {
    const { ada } = (await this.payments.get('/accounts')) as { readonly ada: number }
    return [ada, (await this.savings.get('/balance')) as number]
  }

  /** Waits until no branch is open in either service, and says what is booked. */
  async settled(patienceMs?: number): Promise<readonly [number, number]> {
    const isEmpty = async (each: ServiceProcess): Promise<boolean> =>
      (await each.inDoubt(this.fleet.cluster))?.length === 0
    const look = async (): Promise<boolean> =>
      (await isEmpty(this.payments)) &&
      (await isEmpty(this.savings)) &&
      readdirSync(join(this.#store, 'aside')).length === 0
    await until('nothing is in doubt', look, patienceMs)
    return this.balances()
  }
}
