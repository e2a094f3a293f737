import { expect, onTestFinished, test } from 'vitest'
import {
  type BranchId,
  type Clock,
  formatBranchTicket,
  makeTxid,
  parseBranchId,
  parseBranchTicket,
  parseClusterId,
  systemClock,
  type Txid,
} from '../../base/index.ts'
import type { Logger } from '../../client/index.ts'
import type { Decision, Vote } from '../../txn/index.ts'
import { BranchKeeper } from '../service/branch-keeper.ts'
import type { Journal } from '../service/journal.ts'
import { type BranchKey, branchKey } from '../service/keys.ts'
import { KEEPER_DEFAULTS, type KeeperOptions } from '../service/options.ts'
import type { JournalOwner } from './service-journal.ts'

export const CLUSTER = parseClusterId('trips')
export const BRANCH = parseBranchId(1)

/** What is found of a branch's work: nothing, set aside, or real and how often it was made so. */
export type Effect = 'nothing' | 'aside' | `real ${number}`

/** A journal and the store of its service, as the contract sees them. `Sql` is what handlers get. */
export interface JournalWorld<Sql> {
  /** Opens the journal as the next process of one instance would, or as another instance where it is shared. */
  open(owner: JournalOwner): Promise<Journal<Sql>>
  /** Sets aside; once more for the same branch does nothing. */
  setAside(sql: Sql, gid: string): Promise<void>
  /** Makes real what is set aside, and counts how often it was called for that. */
  makeReal(sql: Sql, gid: string): Promise<void>
  drop(sql: Sql, gid: string): Promise<void>
  effect(gid: string): Promise<Effect>
}

/** One instance over the real clock, with coordinators that are a list of what they heard. */
export class ContractInstance<Sql> {
  readonly calls: string[] = []
  readonly acks: string[] = []
  readonly errors: string[] = []
  readonly warnings: string[] = []
  onPrepare: (sql: Sql, key: BranchKey) => unknown = () => undefined
  onCommit: (sql: Sql) => Promise<void> | void = () => {}
  keeper!: BranchKeeper
  journal!: Journal<Sql>
  readonly #world: JournalWorld<Sql>

  private constructor(world: JournalWorld<Sql>) {
    this.#world = world
  }

  static async start<Sql>(
    world: JournalWorld<Sql>,
    {
      options = {},
      isAskedAlone = true,
      clock = systemClock,
    }: { options?: Partial<KeeperOptions>; isAskedAlone?: boolean; clock?: Clock } = {},
  ): Promise<ContractInstance<Sql>> {
    const instance = new ContractInstance(world)
    const merged = { ...KEEPER_DEFAULTS, retryMinMs: 10, retryMaxMs: 50, closeMs: 200, ...options }
    const logger: Logger = {
      debug() {},
      info() {},
      warn: (_details: object, message: string) => void instance.warnings.push(message),
      error: (_details: object, message: string) => void instance.errors.push(message),
    }
    instance.journal = await world.open({
      name: 'mail',
      clusterId: CLUSTER,
      clock,
      logger,
      openMax: merged.openMax,
    })
    instance.keeper = new BranchKeeper({
      name: 'mail',
      clusterId: CLUSTER,
      clock,
      logger,
      options: merged,
      handlers: instance.#handlers() as never,
      journal: instance.journal as Journal<unknown>,
      isAskedAlone,
      ack: (txid) => void instance.acks.push(txid),
      seed: 1,
    })
    onTestFinished(() => instance.stop())
    return instance
  }

  /** The process is gone: what it was doing comes to an end, and nothing new begins. */
  async stop(): Promise<void> {
    await this.keeper.close()
    await this.journal.close()
  }

  /** A call whose work sets aside. */
  work(txid: Txid, more: (sql: Sql) => unknown = () => {}, timeoutMs = 30_000): Promise<void> {
    return this.keeper.work(ticketOf(txid, timeoutMs), async ({ gid }, sql) => {
      this.calls.push('work')
      await this.#world.setAside(sql as Sql, gid)
      await more(sql as Sql)
    })
  }

  /** PREPARE, until there is a vote or `limitMs` are over. */
  prepare(txid: Txid, limitMs = 10_000): Promise<Vote | 'none'> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve('none'), limitMs)
      this.keeper.prepare(txid, BRANCH, limitMs, (vote) => {
        clearTimeout(timer)
        resolve(vote)
      })
    })
  }

  /** A decision, until it is acknowledged. */
  async decide(txid: Txid, decision: Decision): Promise<void> {
    const before = this.acks.length
    this.keeper.decide(txid, BRANCH, decision)
    await expect.poll(() => this.acks.slice(before), { timeout: 10_000, interval: 2 }).toContain(txid)
  }

  #handlers() {
    return {
      prepare: async (key: BranchKey, sql: Sql) => {
        this.calls.push('prepare')
        return this.onPrepare(sql, key)
      },
      commit: async ({ gid }: BranchKey, sql: Sql) => {
        this.calls.push('commit')
        await this.#world.makeReal(sql, gid)
        await this.onCommit(sql)
      },
      abort: async ({ gid }: BranchKey, sql: Sql) => {
        this.calls.push('abort')
        await this.#world.drop(sql, gid)
      },
    }
  }
}

let number = 0

/** A transaction that began `ageMs` ago. */
export function newTxid(ageMs = 0): Txid {
  number += 1
  const random = new Uint8Array(10).fill(number % 256)
  random[9] = number >> 8
  return makeTxid(Date.now() - ageMs, random)
}

export function gidOf(txid: Txid, branch: BranchId = BRANCH): string {
  return branchKey(CLUSTER, txid, branch).gid
}

export function ticketOf(txid: Txid, timeoutMs = 30_000) {
  return parseBranchTicket(
    formatBranchTicket({ cluster: CLUSTER, txid, branch: BRANCH, participant: 'mail', timeoutMs }),
  )
}

/** What holds wherever a service keeps its promises. */
export function journalContract<Sql>(worldOf: () => JournalWorld<Sql>): void {
  const start = (options?: Parameters<typeof ContractInstance.start>[1]) =>
    ContractInstance.start<Sql>(worldOf(), options)
  const effect = (txid: Txid) => worldOf().effect(gidOf(txid))

  test('work, vote and commit: each handler is called once, and the work is real once', async () => {
    const mail = await start()
    const txid = newTxid()
    await mail.work(txid)
    expect(await effect(txid)).toBe('aside')
    expect(await mail.prepare(txid)).toBe('commit')
    expect(await effect(txid)).toBe('aside')
    await mail.decide(txid, 'commit')
    expect(await effect(txid)).toBe('real 1')
    expect(mail.calls).toEqual(['work', 'prepare', 'commit'])
  })

  test('P4: a vote to commit outlives the process: the next one votes the same, asks nobody, and commits', async () => {
    const mail = await start()
    const txid = newTxid()
    await mail.work(txid)
    expect(await mail.prepare(txid)).toBe('commit')
    await mail.stop()
    const next = await start()
    expect(next.keeper.table.open(gidOf(txid))).toMatchObject({ phase: 'voted', vote: 'commit' })
    expect(await next.prepare(txid)).toBe('commit')
    await next.decide(txid, 'commit')
    expect(next.calls).toEqual(['commit'])
    expect(await effect(txid)).toBe('real 1')
  })

  test('what was joined and not asked for its vote is open in the next process, and votes there', async () => {
    const mail = await start()
    const txid = newTxid()
    await mail.work(txid)
    await mail.stop()
    const next = await start()
    expect(next.keeper.table.open(gidOf(txid))).toMatchObject({ phase: 'joined' })
    expect(await next.prepare(txid)).toBe('commit')
    expect(next.calls).toEqual(['prepare'])
  })

  test('an abort is remembered: a late PREPARE is refused and late work does nothing, in the next process too', async () => {
    const mail = await start()
    const txid = newTxid()
    await mail.work(txid)
    await mail.decide(txid, 'abort')
    expect(await effect(txid)).toBe('nothing')
    for (const each of [mail, await mail.stop().then(() => start())]) {
      expect(await each.prepare(txid)).toBe('abort')
      await expect(each.work(txid)).rejects.toMatchObject({ code: 'BRANCH_OVER' })
      await each.decide(txid, 'abort')
    }
    expect(await effect(txid)).toBe('nothing')
  })

  test('an abort that comes before anything else is remembered as well', async () => {
    const mail = await start()
    const txid = newTxid()
    await mail.decide(txid, 'abort')
    await mail.stop()
    const next = await start()
    await expect(next.work(txid)).rejects.toMatchObject({ code: 'BRANCH_OVER' })
    expect(await next.prepare(txid)).toBe('abort')
    expect(await effect(txid)).toBe('nothing')
  })

  test('a prepare that throws votes abort, now and after a restart, and is not asked again', async () => {
    const mail = await start()
    const txid = newTxid()
    mail.onPrepare = () => {
      throw new Error('sold out')
    }
    await mail.work(txid)
    expect(await mail.prepare(txid)).toBe('abort')
    await mail.stop()
    const next = await start()
    expect(await next.prepare(txid)).toBe('abort')
    expect(next.calls).toEqual([])
    await next.decide(txid, 'abort')
    expect(await effect(txid)).toBe('nothing')
  })

  test('a reader is over with its vote', async () => {
    const mail = await start()
    const txid = newTxid()
    mail.onPrepare = () => 'readOnly'
    await mail.work(txid)
    expect(await mail.prepare(txid)).toBe('readOnly')
    expect(mail.keeper.table.open(gidOf(txid))).toBeUndefined()
    await mail.stop()
    const next = await start()
    expect(await next.prepare(txid)).toBe('readOnly')
    await next.decide(txid, 'abort')
    expect(next.calls).toEqual([])
  })

  test('a commit that fails is not acknowledged, and tried until it succeeds', async () => {
    const mail = await start()
    const txid = newTxid()
    await mail.work(txid)
    await mail.prepare(txid)
    let failures = 2
    mail.onCommit = () => {
      if (failures-- > 0) throw new Error('not yet')
    }
    await mail.decide(txid, 'commit')
    expect(mail.calls).toEqual(['work', 'prepare', 'commit', 'commit', 'commit'])
    expect(mail.warnings).toHaveLength(2)
    expect(await effect(txid)).toMatch(/^real/)
  })

  test('a decision is carried out once however often it comes, and acknowledged each time', async () => {
    const mail = await start()
    const txid = newTxid()
    await mail.work(txid)
    await mail.prepare(txid)
    await mail.decide(txid, 'commit')
    await mail.decide(txid, 'commit')
    await mail.stop()
    const next = await start()
    await next.decide(txid, 'commit')
    expect([...mail.calls, ...next.calls].filter((call) => call === 'commit')).toHaveLength(1)
    expect(await effect(txid)).toBe('real 1')
  })

  test('an abort never undoes a commit: it is told to nobody’s handler, and not acknowledged', async () => {
    const mail = await start()
    const txid = newTxid()
    await mail.work(txid)
    await mail.prepare(txid)
    await mail.decide(txid, 'commit')
    await mail.stop()
    const next = await start()
    next.keeper.decide(txid, BRANCH, 'abort')
    await expect.poll(() => next.errors).toHaveLength(1)
    expect(next).toMatchObject({ acks: [], calls: [] })
    expect(await effect(txid)).toBe('real 1')
  })

  test('work that throws: the caller hears it, and the branch votes abort', async () => {
    const mail = await start()
    const txid = newTxid()
    const sold = new Error('sold out')
    const failing = mail.work(txid, () => {
      throw sold
    })
    await expect(failing).rejects.toBe(sold)
    expect(await mail.prepare(txid)).toBe('abort')
    await mail.decide(txid, 'abort')
    expect(await effect(txid)).toBe('nothing')
  })
}
