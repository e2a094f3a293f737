import {
  type BranchId,
  type BranchTicket,
  formatBranchTicket,
  makeTxid,
  parseBranchId,
  parseBranchTicket,
  parseClusterId,
  type Txid,
} from '../../base/index.ts'
import type { InquireRequest, Reply } from '../../coordinator/index.ts'
import { VirtualClock } from '../../coordinator/virtual-clock.test-support.ts'
import type { Decision, Knowledge, Vote } from '../../txn/index.ts'
import { MemoryDisk } from '../../wal/index.ts'
import { BranchKeeper } from './branch-keeper.ts'
import type { ServiceHandlers } from './handlers.ts'
import { Inquirer } from './inquirer.ts'
import type { Journal } from './journal.ts'
import type { BranchKey } from './keys.ts'
import { LocalJournal } from './local-journal.ts'
import { KEEPER_DEFAULTS, type KeeperOptions } from './options.ts'
import { WalJournal } from './wal-journal.ts'

export const CLUSTER = parseClusterId('trips')
export const BRANCH = parseBranchId(1)
export const TXID = txidOf(1)

export function txidOf(number: number): Txid {
  return makeTxid(1_750_000_000_000 + number, new Uint8Array(10).fill(number % 256))
}

export function ticketOf(txid: Txid = TXID, branch: BranchId = BRANCH, timeoutMs = 30_000): string {
  return formatBranchTicket({ cluster: CLUSTER, txid, branch, participant: 'mail', timeoutMs })
}

/** What can be set in a test. */
export interface InstanceOptions {
  readonly disk?: MemoryDisk
  readonly options?: Partial<KeeperOptions>
  readonly rewriteRecords?: number
}

/** One instance over a journal in memory, with scripted handlers and coordinators, on a clock that the test moves. */
export class TestInstance {
  readonly clock = new VirtualClock()
  readonly disk: MemoryDisk
  readonly calls: string[] = []
  readonly votes: Vote[] = []
  readonly acks: BranchId[] = []
  readonly asked: InquireRequest[] = []
  readonly errors: string[] = []
  failure: Error | undefined
  knowledge: Knowledge | undefined = { kind: 'preparing' }
  onPrepare: (key: BranchKey) => unknown = () => undefined
  onOutcome: (decision: Decision) => Promise<void> | void = () => {}
  keeper!: BranchKeeper
  inquirer!: Inquirer
  journal!: WalJournal

  private constructor(disk: MemoryDisk) {
    this.disk = disk
  }

  static async start({
    disk = new MemoryDisk(),
    options = {},
    rewriteRecords = 10_000,
  }: InstanceOptions = {}): Promise<TestInstance> {
    const instance = new TestInstance(disk)
    const merged = { ...KEEPER_DEFAULTS, ...options }
    const { clock } = instance
    instance.journal = await WalJournal.open({
      directory: '/journal',
      clusterId: CLUSTER,
      disk,
      clock,
      endedMax: merged.endedMax,
      rewriteRecords,
      onFailure: (error) => {
        instance.failure = error
      },
    })
    const logger = {
      debug() {},
      info() {},
      warn() {},
      error: (_details: object, message: string) => void instance.errors.push(message),
    }
    const shared = { clusterId: CLUSTER, clock, logger, options: merged }
    instance.keeper = new BranchKeeper({
      ...shared,
      name: 'mail',
      handlers: instance.#handlers(),
      journal: new LocalJournal(instance.journal) as Journal<unknown>,
      isAskedAlone: false,
      ack: (_txid, branches) => void instance.acks.push(...branches),
      seed: 1,
    })
    instance.inquirer = new Inquirer({
      ...shared,
      keeper: instance.keeper,
      coordinators: { inquire: (request) => instance.#answer(request) },
    })
    return instance
  }

  /** The next process of this instance, on the disk as a crash leaves it. */
  async crash(options: InstanceOptions = {}): Promise<TestInstance> {
    this.inquirer.stop()
    return TestInstance.start({ ...options, disk: this.disk.crash(() => 0) })
  }

  /** A call whose work is done at once. */
  join(ticket: string = ticketOf()): Promise<BranchKey> {
    return this.keeper.work(parse(ticket), (key) => key)
  }

  prepare(txid: Txid = TXID): void {
    this.keeper.prepare(txid, BRANCH, 30_000, (vote) => void this.votes.push(vote))
  }

  decide(decision: Decision, txid: Txid = TXID): void {
    this.keeper.decide(txid, BRANCH, decision)
  }

  /** Lets a little time pass, and everything that it takes. */
  async settle(ms = 1): Promise<void> {
    for (let i = 0; i < 4; i++) await this.clock.advance(ms / 4)
  }

  /** A branch that voted commit. */
  async voted(): Promise<void> {
    await this.join()
    this.prepare()
    await this.settle()
  }

  #handlers(): ServiceHandlers {
    return {
      prepare: (async (key: BranchKey) => {
        this.calls.push('prepare')
        return this.onPrepare(key)
      }) as ServiceHandlers['prepare'],
      commit: async () => {
        this.calls.push('commit')
        await this.onOutcome('commit')
      },
      abort: async () => {
        this.calls.push('abort')
        await this.onOutcome('abort')
      },
    }
  }

  async #answer(request: InquireRequest): Promise<Reply> {
    this.asked.push(request)
    if (this.knowledge === undefined) {
      return { kind: 'refused', code: 'NOT_LEADER', message: 'none leads', retryable: true, leader: undefined }
    }
    return { kind: 'outcome', outcome: this.knowledge }
  }
}

export function parse(ticket: string): BranchTicket {
  return parseBranchTicket(ticket)
}
