import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { freePorts } from '../../bench/lib/ports.ts'
import type { KvStatus } from '../../src/kv/index.ts'
import type { NodeStatus } from '../../src/server/index.ts'
import { until } from '../support/waiting.support.ts'
import type { StoreAddress } from './messages.ts'
import { askKvStatus, askStatus } from './product.ts'
import { ServerProcess } from './server-process.ts'

const CLUSTER = 'histories'
const COORDINATORS = 3
const STORES = ['north', 'south']
/** Deadlocks over both participants end by it. */
const LOCK_TIMEOUT_MS = 400

/** Three coordinators and two key-value participants, each a process of its own with its data in `directory`. */
export class Stage {
  readonly coordinators: readonly ServerProcess[]
  readonly participants: readonly ServerProcess[]
  readonly addresses: readonly string[]
  readonly stores: readonly StoreAddress[]

  private constructor(directory: string, ports: readonly number[], participantFlags: readonly string[]) {
    const addressed = ports.map((port) => `127.0.0.1:${port}`)
    this.addresses = addressed.slice(0, COORDINATORS)
    this.stores = STORES.map((name, at) => ({ name, address: addressed[COORDINATORS + at]! }))
    const members = this.addresses.map((address, at) => ({ id: at + 1, address }))
    this.coordinators = members.map(({ id, address }) => {
      const config = { cluster: CLUSTER, node: id, data: './data', members, participants: STORES }
      const answers = async (): Promise<boolean> => (await statusOf(address)) !== undefined
      return makeProcess(directory, { name: `coordinator-${id}`, args: ['serve'], config, answers, nodeFlags: [] })
    })
    this.participants = this.stores.map(({ name, address }) => {
      const limits = { lockTimeoutMs: LOCK_TIMEOUT_MS }
      const config = { cluster: CLUSTER, name, data: './data', listen: address, coordinators: this.addresses, limits }
      const answers = async (): Promise<boolean> => (await kvStatusOf(address)) !== undefined
      return makeProcess(directory, { name, args: ['participant', 'kv'], config, answers, nodeFlags: participantFlags })
    })
  }

  /** @param participantFlags Node's flags for the participants: a test breaks them by it */
  static async start(directory: string, participantFlags: readonly string[]): Promise<Stage> {
    const ports = await freePorts(COORDINATORS + STORES.length)
    const stage = new Stage(directory, ports, participantFlags)
    try {
      await stage.whole()
      return stage
    } catch (error) {
      await stage.stop()
      throw error
    }
  }

  /** Starts whatever does not run, and waits until all of it serves. */
  async whole(): Promise<void> {
    const all = [...this.coordinators, ...this.participants]
    for (const each of all) each.start()
    await Promise.all(all.map((each) => each.up()))
    await until('a leader serves', async () => (await this.leader()) !== undefined)
  }

  /** The coordinator that leads, if one does. */
  async leader(): Promise<ServerProcess | undefined> {
    const statuses = await Promise.all(this.addresses.map(statusOf))
    // An old leader may not know yet that it lost: the highest term counts.
    const [leader] = statuses.filter((status) => status?.serving === true).sort((a, b) => b!.term - a!.term)
    return leader === undefined ? undefined : this.coordinators[leader.node - 1]
  }

  /** Waits until no branch is in doubt: nothing of what was begun can happen any more. */
  async settled(): Promise<void> {
    for (const { name, address } of this.stores) {
      await until(`nothing is in doubt at ${name}`, async () => (await kvStatusOf(address))?.inDoubtCount === 0, 60_000)
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.coordinators, ...this.participants].map((each) => each.kill()))
  }
}

interface ProcessParts {
  readonly name: string
  readonly args: readonly string[]
  readonly config: object
  readonly answers: () => Promise<boolean>
  readonly nodeFlags: readonly string[]
}

function makeProcess(directory: string, { name, args, config, answers, nodeFlags }: ProcessParts): ServerProcess {
  const home = join(directory, name)
  mkdirSync(home, { recursive: true })
  const file = join(home, 'config.yaml')
  writeFileSync(file, stringify(config))
  return new ServerProcess({ name, args: [...args, '--config', file], logFile: join(home, 'log'), nodeFlags, answers })
}

function statusOf(address: string): Promise<NodeStatus | undefined> {
  return askStatus(address, { timeoutMs: 1_000 }).catch(() => undefined)
}

function kvStatusOf(address: string): Promise<KvStatus | undefined> {
  const [host = '', port] = address.split(':')
  return askKvStatus({ host, port: Number(port) }, { timeoutMs: 1_000 }).catch(() => undefined)
}
