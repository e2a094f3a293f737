import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type * as server from '../../src/server/index.ts'
import { built, root } from './built.ts'
import { freePorts } from './ports.ts'
import { Processes } from './processes.ts'
import { profileFlags } from './worker.ts'

export const CLUSTER = 'bench'
const MEMBERS = 3
const START_MS = 20_000

/** Three coordinators as `concordat serve` runs them, on loopback, each with its own data directory. */
export class Coordinators {
  readonly addresses: readonly string[]
  readonly #processes: Processes

  private constructor(addresses: readonly string[], processes: Processes) {
    this.addresses = addresses
    this.#processes = processes
  }

  /** Resolves when one of them leads. */
  static async start(directory: string, profile: string | undefined): Promise<Coordinators> {
    const ports = await freePorts(MEMBERS)
    const addresses = ports.map((port) => `127.0.0.1:${port}`)
    const members = addresses.map((address, index) => `${index + 1}=${address}`).join(',')
    const group = new Coordinators(addresses, new Processes())
    for (let node = 1; node <= MEMBERS; node++) {
      const data = join(directory, `coordinator-${node}`)
      await mkdir(data, { recursive: true })
      const flags = ['--cluster', CLUSTER, '--node', String(node), '--data', data, '--members', members]
      const main = join(root, 'dist/cli/main.js')
      const args = [...profileFlags(profile), main, 'serve', ...flags, '--log-level', 'error']
      // With a channel: they end when this process is gone. Log lines must not mix with our tables.
      group.#processes.start(process.execPath, args, { stdio: ['ignore', 2, 2, 'ipc'] })
    }
    try {
      await group.#leader()
    } catch (error) {
      await group.stop()
      throw error
    }
    return group
  }

  /** What each says of itself, the leader first. */
  async status(): Promise<readonly server.NodeStatus[]> {
    const { askStatus } = await built<typeof server>('server')
    const all = await Promise.all(this.addresses.map((address) => askStatus(address, { timeoutMs: 5_000 })))
    return all.toSorted((a, b) => Number(b.serving) - Number(a.serving))
  }

  stop(): Promise<void> {
    return this.#processes.stop()
  }

  async #leader(): Promise<void> {
    const until = Date.now() + START_MS
    for (;;) {
      const all = await this.status().catch(() => [])
      if (all[0]?.serving === true) return
      if (Date.now() > until) throw new Error(`no coordinator leads after ${START_MS} ms`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
