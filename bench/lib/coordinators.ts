import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type * as server from '../../src/server/index.ts'
import { built, root } from './built.ts'
import { freePorts } from './ports.ts'
import { Processes } from './processes.ts'
import { profileFlags } from './worker.ts'

export const CLUSTER = 'bench'
const START_MS = 20_000

/** What differs from three coordinators with all defaults. */
export interface CoordinatorsOptions {
  readonly members?: number
  /** More keys of their configuration file. */
  readonly config?: object
}

interface Member {
  readonly node: number
  readonly address: string
  readonly data: string
  child: ChildProcess | undefined
}

/** Coordinators as `concordat serve` runs them, on loopback, each with its own data directory. */
export class Coordinators {
  readonly addresses: readonly string[]
  readonly #members: readonly Member[]
  readonly #processes = new Processes()
  readonly #args: (member: Member) => readonly string[]

  private constructor(members: readonly Member[], args: (member: Member) => readonly string[]) {
    this.#members = members
    this.addresses = members.map(({ address }) => address)
    this.#args = args
  }

  /** Resolves when one of them leads. */
  static async start(
    directory: string,
    profile: string | undefined,
    { members: count = 3, config = {} }: CoordinatorsOptions = {},
  ): Promise<Coordinators> {
    const ports = await freePorts(count)
    const members = ports.map((port, index): Member => {
      const node = index + 1
      return { node, address: `127.0.0.1:${port}`, data: join(directory, `coordinator-${node}`), child: undefined }
    })
    for (const { node, data } of members) {
      await mkdir(data, { recursive: true })
      const fleet = members.map(({ node: id, address }) => ({ id, address }))
      await writeFile(`${data}.yaml`, stringify({ cluster: CLUSTER, node, data, members: fleet, ...config }))
    }
    const group = new Coordinators(members, ({ data }) => [
      ...profileFlags(profile),
      join(root, 'dist/cli/main.js'),
      'serve',
      ...['--config', `${data}.yaml`, '--log-level', 'error'],
    ])
    for (const { node } of members) group.run(node)
    try {
      await group.leader()
    } catch (error) {
      await group.stop()
      throw error
    }
    return group
  }

  /** Starts one that does not run. */
  run(node: number): void {
    const member = this.#find(node)
    // With a channel: they end when this process is gone. Log lines must not mix with our tables.
    member.child = this.#processes.start(process.execPath, this.#args(member), { stdio: ['ignore', 2, 2, 'ipc'] })
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(node: number): Promise<void> {
    const { child } = this.#find(node)
    if (child === undefined) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
    this.#find(node).child = undefined
  }

  /** Where a coordinator keeps its log. */
  dataOf(node: number): string {
    return this.#find(node).data
  }

  /** What each that runs says of itself, the leader first. */
  async status(): Promise<readonly server.NodeStatus[]> {
    const { askStatus } = await built<typeof server>('server')
    const running = this.#members.filter(({ child }) => child !== undefined)
    const all = await Promise.all(running.map(({ address }) => askStatus(address, { timeoutMs: 5_000 })))
    return all.toSorted((a, b) => Number(b.serving) - Number(a.serving))
  }

  stop(): Promise<void> {
    return this.#processes.stop()
  }

  /** Waits until one of them serves. */
  async leader(): Promise<server.NodeStatus> {
    const leader = await this.waitFor('one of them leads', (all) => (all[0]?.serving === true ? all[0] : undefined))
    return leader
  }

  /** Waits until everybody is connected and has all that the leader has. */
  async whole(): Promise<void> {
    await this.waitFor('all have caught up', ([leader]) => {
      const isWhole = leader?.serving === true && leader.members.every(({ connected, lag }) => connected && lag === 0)
      return isWhole ? true : undefined
    })
  }

  async waitFor<T>(what: string, look: (all: readonly server.NodeStatus[]) => T | undefined): Promise<T> {
    const until = Date.now() + START_MS
    for (;;) {
      const found = look(await this.status().catch(() => []))
      if (found !== undefined) return found
      if (Date.now() > until) throw new Error(`waited ${START_MS} ms in vain until ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  #find(node: number): Member {
    return this.#members.find((member) => member.node === node)!
  }
}
