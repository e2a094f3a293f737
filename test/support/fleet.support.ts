import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished, vi } from 'vitest'
import { parse, stringify } from 'yaml'
import type { Txid } from '../../src/base/index.ts'
import { systemClock } from '../../src/base/index.ts'
import { RemoteCoordinators } from '../../src/client/index.ts'
import { askLeader, askStatus, type NodeStatus, type ServerConfigInput } from '../../src/server/index.ts'
import { tcpNetwork } from '../../src/transport/index.ts'
import type { Knowledge } from '../../src/txn/index.ts'
import { type CommandEnd, concordat, plainEnvironment, program } from './program.support.ts'
import { until } from './waiting.support.ts'

// Three processes and their databases on a busy machine; what a test waits for has patience limits of its own.
vi.setConfig({ testTimeout: 90_000 })

/** What differs from a plain fleet of three without databases. */
export interface FleetOptions {
  readonly size?: number
  /** The lowest node id. Default 1. */
  readonly firstId?: number
  readonly cluster?: string
  readonly config?: Partial<ServerConfigInput>
  /** Environment of the coordinators, for secrets in their configuration. */
  readonly env?: Readonly<Record<string, string>>
  /** Where each coordinator listens; 127.0.0.1 for all when left out. */
  readonly hosts?: readonly string[]
  /** A program that each coordinator is started through; see `start`. */
  readonly through?: (id: number) => readonly string[]
}

/** How a process ended. */
export interface ProcessEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

interface Node {
  readonly id: number
  readonly address: string
  readonly home: string
  readonly configFile: string
  readonly logFile: string
  child: ChildProcess | undefined
}

/** Coordinators as an operator runs them: `concordat serve --config FILE`, each a process of its own. */
export class Fleet {
  readonly cluster: string
  readonly directory: string
  readonly #nodes: Node[]
  readonly #env: Readonly<Record<string, string>>
  readonly #through: (id: number) => readonly string[]

  private constructor(cluster: string, directory: string, nodes: Node[], options: FleetOptions) {
    this.cluster = cluster
    this.directory = directory
    this.#nodes = nodes
    this.#env = options.env ?? {}
    this.#through = options.through ?? (() => [])
  }

  /**
   * Starts a fleet for the test that runs now, and waits for its leader. It ends with the test; when that fails, the
   * coordinators' logs are printed.
   */
  static async start(options: FleetOptions = {}): Promise<Fleet> {
    const fleet = await Fleet.prepare(options)
    fleet.startAll()
    await fleet.leader()
    return fleet
  }

  /** The same, with no coordinator started yet. */
  static async prepare(options: FleetOptions = {}): Promise<Fleet> {
    const { size = 3, firstId = 1, cluster = 'test', config = {}, hosts = [] } = options
    const directory = mkdtempSync(join(tmpdir(), 'cdt-test-'))
    chmodSync(directory, 0o755)
    const members = (await freePorts(size)).map((port, index) => ({
      id: firstId + index,
      address: `${hosts[index] ?? '127.0.0.1'}:${port}`,
    }))
    const nodes = members.map((member) => makeNode(directory, member, { cluster, members, ...config }))
    const fleet = new Fleet(cluster, directory, nodes, options)
    onTestFinished(async ({ task }) => {
      if (task.result?.state === 'fail') console.error(fleet.logs())
      await fleet.close()
    })
    return fleet
  }

  get addresses(): readonly string[] {
    return this.#nodes.map(({ address }) => address)
  }

  get ids(): readonly number[] {
    return this.#nodes.map(({ id }) => id)
  }

  get running(): readonly number[] {
    return this.#nodes.filter(({ child }) => child !== undefined).map(({ id }) => id)
  }

  addressOf(id: number): string {
    return this.#find(id).address
  }

  configOf(id: number): string {
    return this.#find(id).configFile
  }

  pidOf(id: number): number | undefined {
    return this.#find(id).child?.pid
  }

  dataOf(id: number): string {
    return join(this.#find(id).home, 'data')
  }

  logOf(id: number): string {
    return readFileSync(this.#find(id).logFile, 'utf8')
  }

  /** The last lines of every coordinator's log. */
  logs(): string {
    return this.#nodes
      .filter(({ logFile }) => statExists(logFile))
      .map(({ id }) => `--- coordinator ${id}\n${this.logOf(id).trimEnd().split('\n').slice(-25).join('\n')}`)
      .join('\n')
  }

  /**
   * Makes a node that waits to be added, with an empty directory; it is not started. Its contacts are those that are there.
   *
   * @returns its member's address, as the commands take it: `4=127.0.0.1:7404`
   */
  async join(id: number, config: Partial<ServerConfigInput> = {}): Promise<string> {
    const [port] = await freePorts(1)
    const member = { id, address: `127.0.0.1:${port}` }
    const members = [...this.#nodes.map((node) => ({ id: node.id, address: node.address })), member]
    this.#nodes.push(makeNode(this.directory, member, { cluster: this.cluster, members, join: true, ...config }))
    return `${id}=${member.address}`
  }

  /** Runs a command of an operator against this fleet. */
  operator(...args: readonly string[]): Promise<CommandEnd> {
    return concordat([...args, '--coordinators', this.addresses.join(',')])
  }

  startAll(): void {
    for (const { id } of this.#nodes) this.start(id)
  }

  /** Changes keys of a configuration that is not in use. */
  rewrite(id: number, changes: Partial<ServerConfigInput>): void {
    const { configFile } = this.#find(id)
    writeFileSync(configFile, stringify({ ...parse(readFileSync(configFile, 'utf8')), ...changes }))
  }

  /** @param through a program to run instead, which gets the coordinator's command line and must `exec` it */
  start(id: number, through: readonly string[] = this.#through(id)): void {
    const node = this.#find(id)
    if (node.child !== undefined) return
    const log = openSync(node.logFile, 'a')
    const [command = '', ...args] = [...through, process.execPath, program(), 'serve', '--config', node.configFile]
    const child = spawn(command, args, {
      // The channel ends the coordinator when the test process is gone, even by SIGKILL.
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...plainEnvironment(), ...this.#env },
    })
    closeSync(log)
    node.child = child
    child.on('error', () => {})
    child.on('exit', () => {
      node.child = undefined
    })
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(...ids: readonly number[]): Promise<void> {
    await Promise.all(ids.map((id) => this.end(id, 'SIGKILL')))
  }

  /** Sends a signal that ends the process, and says how it ended. */
  async end(id: number, signal: NodeJS.Signals): Promise<ProcessEnd> {
    const { child } = this.#find(id)
    if (child === undefined) throw new Error(`coordinator ${id} does not run`)
    const gone = once(child, 'exit')
    child.kill(signal)
    const [code, by] = (await gone) as [number | null, NodeJS.Signals | null]
    return { code, signal: by }
  }

  /** Resolves when the process has ended by itself. */
  async ended(id: number): Promise<void> {
    const { child } = this.#find(id)
    if (child !== undefined) await once(child, 'exit')
  }

  /** SIGSTOP or SIGCONT. */
  signal(id: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#find(id).child?.kill(signal)
  }

  /** One coordinator's own view, or undefined when it does not answer. */
  status(id: number): Promise<NodeStatus | undefined> {
    return askStatus(this.addressOf(id), { timeoutMs: 1_000 }).catch(() => undefined)
  }

  /** The view of the coordinator that leads and serves, once there is one. `not`: one that is stopped or about to be. */
  async leader(not?: number): Promise<NodeStatus> {
    return await until('a leader serves', async () => {
      const ids = this.running.filter((id) => id !== not)
      const statuses = await Promise.all(ids.map((id) => this.status(id)))
      // An old leader may not know yet that it lost: the highest term counts.
      const serving = statuses.filter((status) => status?.serving === true).sort((a, b) => b!.term - a!.term)
      return serving[0]
    })
  }

  /** Waits until every coordinator runs, and has applied all that the leader has. */
  async whole(): Promise<void> {
    await until('every coordinator has caught up', async () => {
      const leader = await this.leader()
      if (!leader.members.every(({ connected, lag }) => connected && lag === 0)) return false
      // What is committed a follower hears with the next message: until then it has the entry and has not applied it.
      const ids = leader.members.map(({ node }) => node).filter((id) => this.running.includes(id))
      const statuses = await Promise.all(ids.map((id) => this.status(id)))
      return statuses.every((status) => status !== undefined && status.lastApplied >= leader.lastApplied)
    })
  }

  /** What the leader knows of a transaction, without changing anything. */
  async outcome(txid: string): Promise<Knowledge> {
    return await until('the leader tells an outcome', async () => {
      const question = { method: 'outcome', txid: txid as Txid, cluster: undefined, settle: false } as const
      return await askLeader(this.addresses, question, { timeoutMs: 2_000 }).catch(() => undefined)
    })
  }

  /** The real client's port to this fleet; closed with the test. */
  port(name = 'test'): RemoteCoordinators {
    const port = new RemoteCoordinators({
      addresses: this.#nodes.map(({ address }) => ({ host: '127.0.0.1', port: Number(address.split(':')[1]) })),
      tls: undefined,
      name,
      clusterId: undefined,
      network: tcpNetwork(),
      clock: systemClock,
      random: Math.random,
      logger: quiet,
    })
    onTestFinished(() => port.close())
    return port
  }

  async close(): Promise<void> {
    // A stopped process takes no other signal than this.
    await this.kill(...this.running)
    rmSync(this.directory, { recursive: true, force: true })
  }

  #find(id: number): Node {
    const found = this.#nodes.find((node) => node.id === id)
    if (found === undefined) throw new Error(`there is no coordinator ${id}`)
    return found
  }
}

function makeNode(
  directory: string,
  { id, address }: Pick<Node, 'id' | 'address'>,
  config: Partial<ServerConfigInput>,
): Node {
  const home = join(directory, `node-${id}`)
  mkdirSync(home)
  const configFile = join(home, 'concordat.yaml')
  writeFileSync(configFile, stringify({ node: id, data: './data', resolver: { scanMs: 500, graceMs: 500 }, ...config }))
  return { id, address, home, configFile, logFile: join(home, 'log'), child: undefined }
}

const nothing = (): void => {}
const quiet = { debug: nothing, info: nothing, warn: nothing, error: nothing }

function statExists(path: string): boolean {
  try {
    closeSync(openSync(path, 'r'))
    return true
  } catch {
    return false
  }
}

/** Ports that are free now. Held open together so that no two are the same. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
