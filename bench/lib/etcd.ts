import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './built.ts'
import { freePorts } from './ports.ts'
import { Processes } from './processes.ts'
import type { Rate } from './samples.ts'

const START_MS = 20_000

/** etcd members on loopback, and the Go program that loads them as ours are loaded. */
export class Etcd {
  readonly #load: string
  readonly #processes: Processes
  readonly #leader: string

  private constructor(load: string, processes: Processes, leader: string) {
    this.#load = load
    this.#processes = processes
    this.#leader = leader
  }

  /** The running members, or why there is no comparison. */
  static async start(directory: string, members: number): Promise<Etcd | string> {
    if (!isInstalled('etcd', '--version'))
      return 'skipped: there is no `etcd` on PATH (Debian: apt install etcd-server)'
    if (!isInstalled('go', 'version')) return 'skipped: there is no `go` on PATH to build the load program with'
    const load = join(directory, 'etcd-load')
    try {
      await promisify(execFile)('go', ['build', '-o', load, '.'], { cwd: join(root, 'bench/etcd-load') })
    } catch (error) {
      return `skipped: \`go build\` of bench/etcd-load failed (${(error as Error).message.trim()})`
    }
    const processes = new Processes()
    try {
      return new Etcd(load, processes, await startMembers(directory, members, processes))
    } catch (error) {
      await processes.stop()
      throw error
    }
  }

  /** So many callers, each putting values of `bytes` at the leader. */
  async run(callers: number, seconds: number, bytes: number): Promise<Rate> {
    const args = ['-endpoint', this.#leader, '-callers', callers, '-seconds', seconds, '-bytes', bytes].map(String)
    const { stdout } = await promisify(execFile)(this.#load, args)
    return JSON.parse(stdout) as Rate
  }

  stop(): Promise<void> {
    return this.#processes.stop()
  }
}

function isInstalled(program: string, versionFlag: string): boolean {
  return spawnSync(program, [versionFlag], { stdio: 'ignore' }).status === 0
}

async function startMembers(directory: string, count: number, processes: Processes): Promise<string> {
  const ports = await freePorts(2 * count)
  const members = Array.from({ length: count }, (_, index) => ({
    name: `etcd-${index + 1}`,
    client: `127.0.0.1:${ports[2 * index]}`,
    peer: `127.0.0.1:${ports[2 * index + 1]}`,
  }))
  const cluster = members.map(({ name, peer }) => `${name}=http://${peer}`).join(',')
  for (const { name, client, peer } of members) {
    const flags = {
      name,
      'data-dir': join(directory, name),
      'listen-client-urls': `http://${client}`,
      'advertise-client-urls': `http://${client}`,
      'listen-peer-urls': `http://${peer}`,
      'initial-advertise-peer-urls': `http://${peer}`,
      'initial-cluster': cluster,
    }
    const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value])
    processes.start('etcd', args, { stdio: 'ignore' })
  }
  return findLeader(members.map(({ client }) => client))
}

async function findLeader(clients: readonly string[]): Promise<string> {
  const until = Date.now() + START_MS
  while (Date.now() < until) {
    for (const client of clients) if (await leads(client)) return client
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`no etcd member leads after ${START_MS} ms`)
}

async function leads(client: string): Promise<boolean> {
  try {
    const response = await fetch(`http://${client}/v3/maintenance/status`, { method: 'POST', body: '{}' })
    const { leader, header } = (await response.json()) as { leader?: string; header?: { member_id?: string } }
    return leader !== undefined && leader === header?.member_id
  } catch {
    return false
  }
}
