import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { stringify } from 'yaml'
import { service } from '../../src/client/index.ts'
import { askKvStatus, type KeyValueStore, type KvStatus, kv } from '../../src/kv/index.ts'
import { participant } from '../../src/participant/index.ts'
import { type Fleet, freePorts, type ProcessEnd } from '../support/fleet.support.ts'
import { concordat, plainEnvironment, program } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'

/** A key-value participant as an operator runs it: `concordat participant kv --config FILE`, a process of its own. */
export class KvProcess {
  readonly name: string
  readonly address: string
  readonly #configFile: string
  readonly #logFile: string
  readonly #flags: readonly string[]
  #child: ChildProcess | undefined

  private constructor(name: string, address: string, home: string, flags: readonly string[]) {
    this.#flags = flags
    this.name = name
    this.address = address
    this.#configFile = join(home, 'participant.yaml')
    this.#logFile = join(home, 'log')
  }

  /** Starts one for the test that runs now, and waits until it answers. @param flags how to ask it under TLS */
  static async start(
    fleet: Fleet,
    name: string,
    config: object = {},
    flags: readonly string[] = [],
  ): Promise<KvProcess> {
    const [port] = await freePorts(1)
    const home = join(fleet.directory, name)
    mkdirSync(home)
    const made = new KvProcess(name, `127.0.0.1:${port}`, home, flags)
    const { cluster, addresses: coordinators } = fleet
    const listen = made.address
    writeFileSync(made.#configFile, stringify({ cluster, name, data: './data', listen, coordinators, ...config }))
    onTestFinished(async ({ task }) => {
      if (task.result?.state === 'fail')
        console.error(`--- participant ${name}\n${made.log.split('\n').slice(-25).join('\n')}`)
      if (made.#child !== undefined) await made.end('SIGKILL')
    })
    await made.restart()
    return made
  }

  /** An application's handle on it; closed with the test. */
  store(timeoutMs = 15_000): KeyValueStore {
    const store = kv({ name: this.name, address: this.address, timeoutMs })
    onTestFinished(() => store.close())
    return store
  }

  /** Starts it again on its data, and waits until it answers. @param through a program that gets its command line, and runs it */
  async restart(through: readonly string[] = []): Promise<void> {
    const log = openSync(this.#logFile, 'a')
    const line = [...through, process.execPath, program(), 'participant', 'kv', '--config', this.#configFile]
    const [run = '', ...args] = line
    // The channel ends it when the test process is gone, even by SIGKILL.
    const child = spawn(run, args, { stdio: ['ignore', log, log, 'ipc'], env: plainEnvironment() })
    closeSync(log)
    this.#child = child
    child.on('exit', () => {
      this.#child = undefined
    })
    await until(`${this.name} answers`, () => this.status())
  }

  /** Sends a signal that ends it, and says how it ended. */
  async end(signal: NodeJS.Signals): Promise<ProcessEnd> {
    const child = this.#child
    if (child === undefined) throw new Error(`${this.name} does not run`)
    const gone = once(child, 'exit')
    child.kill(signal)
    const [code, by] = (await gone) as [number | null, NodeJS.Signals | null]
    return { code, signal: by }
  }

  /** Resolves when it has ended by itself. */
  async ended(): Promise<ProcessEnd> {
    if (this.#child === undefined) throw new Error(`${this.name} does not run`)
    const [code, signal] = (await once(this.#child, 'exit')) as [number | null, NodeJS.Signals | null]
    return { code, signal }
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal)
  }

  kill(): Promise<ProcessEnd> {
    return this.end('SIGKILL')
  }

  /** Undefined when it does not answer. */
  async status(): Promise<KvStatus | undefined> {
    const [host = '', port] = this.address.split(':')
    if (this.#flags.length === 0) {
      return askKvStatus({ host, port: Number(port) }, { timeoutMs: 2_000 }).catch(() => undefined)
    }
    const { code, stdout } = await concordat([
      'participant',
      'status',
      '--address',
      this.address,
      '--json',
      ...this.#flags,
    ])
    return code === 0 ? (JSON.parse(stdout) as KvStatus) : undefined
  }

  /** Waits until so many of its branches are in doubt. */
  async inDoubt(count: number): Promise<KvStatus> {
    return until(`${count} branches are in doubt at ${this.name}`, async () => {
      const status = await this.status()
      return status?.inDoubtCount === count && status
    })
  }

  /** What it said. */
  get log(): string {
    return readFileSync(this.#logFile, 'utf8')
  }
}

/** A service in the test's process whose vote comes when the test says so: until then a transaction is not decided. */
export class Brake {
  readonly service = service('brake')
  /** Gives the vote. */
  release: () => void = () => {}
  readonly #participant: Awaited<ReturnType<typeof participant>>

  private constructor(made: Awaited<ReturnType<typeof participant>>) {
    this.#participant = made
  }

  static async start(fleet: Fleet): Promise<Brake> {
    let release = (): void => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const made = await participant({
      name: 'brake',
      coordinators: fleet.addresses,
      clusterId: fleet.cluster,
      journal: join(fleet.directory, 'brake'),
      prepare: () => released,
      commit: () => {},
      abort: () => {},
    })
    const brake = new Brake(made)
    brake.release = release
    onTestFinished(() => {
      release()
      return made.close()
    })
    await until('the coordinators know the brake', async () => {
      const leader = await fleet.leader()
      return leader.participants?.some(({ name, instances }) => name === 'brake' && instances > 0)
    })
    return brake
  }

  /** Its work in a transaction: none. */
  async work(ticket: string): Promise<void> {
    await this.#participant.work(ticket, () => {})
  }
}
