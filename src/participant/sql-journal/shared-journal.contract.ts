import { setTimeout as pause } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import type { CuttingProxy } from '../../resources/cutting-proxy.contract.ts'
import { BRANCH, ContractInstance, gidOf, newTxid } from './journal.contract.ts'
import type { SqlJournalOptions } from './opening.ts'
import type { ServiceJournal } from './service-journal.ts'
import { type Send, SqlWorld } from './sql-world.test-support.ts'

/** A database, and the pools of its drivers. */
export interface SharedWorld<Pool, Sql> {
  /** Through the proxy. */
  makePool(size: number): Pool & { end(): Promise<unknown> }
  journal(pool: Pool, options?: SqlJournalOptions): ServiceJournal<Sql>
  send(sql: Sql): Send
  /** Past the proxy. */
  readonly look: Send
  readonly proxy: () => CuttingProxy
  /** Bytes that only the journal's COMMIT has. */
  readonly commit: string
  /** A statement that ends the transaction, and is refused. */
  readonly ending: string
  /** A text that ends it in disguise, in one call of the client; undefined where that can't be sent. */
  readonly disguised: string | undefined
}

/** What holds for a journal in the service's own database, which all instances share. */
export function sharedJournalContract<Pool, Sql>(database: SharedWorld<Pool, Sql>): void {
  const { look } = database

  function worldOf(size = 8, options?: SqlJournalOptions): SqlWorld<Sql> {
    const pool = database.makePool(size)
    onTestFinished(() => void pool.end().catch(() => {}))
    return new SqlWorld(database.journal(pool, options), database.send, look)
  }

  async function pair() {
    const world = worldOf()
    const [one, two] = [await ContractInstance.start<Sql>(world), await ContractInstance.start<Sql>(world)]
    return { world, one, two, effect: (txid: ReturnType<typeof newTxid>) => world.effect(gidOf(txid)) }
  }

  const stateOf = async (gid: string): Promise<unknown> =>
    (await look('SELECT state FROM concordat_journal WHERE gid = ?', gid))[0]?.state

  test('another instance votes for the branch of a dead one, and finishes it; work is real once', async () => {
    const { one, two, effect } = await pair()
    const txid = newTxid()
    await one.work(txid)
    await one.stop()
    expect(await two.prepare(txid)).toBe('commit')
    await two.decide(txid, 'commit')
    expect(two.calls).toEqual(['prepare', 'commit'])
    expect(await effect(txid)).toBe('real 1')
  })

  test('where all instances are asked, those that did not do the work leave it to the one that did, unless asked again', async () => {
    const world = worldOf()
    const one = await ContractInstance.start<Sql>(world, { isAskedAlone: false })
    const two = await ContractInstance.start<Sql>(world, { isAskedAlone: false })
    const txid = newTxid()
    await one.work(txid)
    expect(await two.prepare(txid, 100)).toBe('none')
    expect(await two.prepare(txid)).toBe('commit')
    expect(two.calls).toEqual(['prepare'])
  })

  test('P4: two instances are asked for one vote at the same time: one asks its handler, both say the same', async () => {
    const { one, two } = await pair()
    for (let round = 0; round < 5; round++) {
      const txid = newTxid()
      await one.work(txid)
      expect(await Promise.all([one.prepare(txid), two.prepare(txid)])).toEqual(['commit', 'commit'])
    }
    expect([...one.calls, ...two.calls].filter((call) => call === 'prepare')).toHaveLength(5)
  })

  test('two instances are told one decision at the same time: it is carried out once, and both acknowledge', async () => {
    const { one, two, effect } = await pair()
    for (let round = 0; round < 5; round++) {
      const txid = newTxid()
      await one.work(txid)
      await one.prepare(txid)
      await Promise.all([one.decide(txid, 'commit'), two.decide(txid, 'commit')])
      expect(await effect(txid)).toBe('real 1')
    }
  })

  test('a vote is asked for, an abort is told and work comes, all at once on two instances: nothing is left behind', async () => {
    const { one, two, effect } = await pair()
    for (let round = 0; round < 5; round++) {
      const txid = newTxid()
      const work = one.work(txid).catch(() => {})
      // Once it is decided a vote is not given any more.
      await Promise.all([work, two.prepare(txid, 50), two.decide(txid, 'abort')])
      expect(await effect(txid)).toBe('nothing')
      expect(await one.prepare(txid)).toBe('abort')
      await expect(one.work(txid)).rejects.toMatchObject({ code: 'BRANCH_OVER' })
    }
  })

  test('a branch that nobody did work for is refused at once, and work that comes later is, too', async () => {
    const { one, two, effect } = await pair()
    const txid = newTxid()
    expect(await one.prepare(txid)).toBe('abort')
    await expect(two.work(txid)).rejects.toMatchObject({ code: 'BRANCH_OVER' })
    expect(await effect(txid)).toBe('nothing')
    expect(one.calls).toEqual([])
  })

  test('PREPARE at another instance waits for work that is under way', async () => {
    const { one, two } = await pair()
    const txid = newTxid()
    let finish: (() => void) | undefined
    const working = one.work(txid, () =>
      held((end) => {
        finish = end
      }),
    )
    await expect.poll(() => finish).toBeDefined()
    let vote = ''
    const voting = two.prepare(txid).then((given) => {
      vote = given
    })
    await pause(100)
    expect(vote).toBe('')
    finish?.()
    await Promise.all([working, voting])
    expect(vote).toBe('commit')
  })

  test('what a handler did is rolled back when it throws: work, prepare and commit', async () => {
    const { one, effect } = await pair()
    const [first, second] = [newTxid(), newTxid()]
    one.onPrepare = async (sql, { gid }) => {
      await database.send(sql)('DELETE FROM seats WHERE gid = ?', gid)
      throw new Error('no')
    }
    await one.work(first)
    expect(await one.prepare(first)).toBe('abort')
    expect(await effect(first)).toBe('aside')
    one.onPrepare = () => undefined
    await one.work(second)
    await one.prepare(second)
    let failures = 3
    one.onCommit = () => {
      if (failures-- > 0) throw new Error('not yet')
    }
    await one.decide(second, 'commit')
    expect(await effect(second)).toBe('real 1')
  })

  test('an error that a handler swallows, and a statement that would end the transaction, roll back and vote abort', async () => {
    const { one, two, effect } = await pair()
    const texts = ['SELECT nonsense', database.ending, database.disguised].filter((text) => text !== undefined)
    for (const text of texts) {
      const txid = newTxid()
      await one.work(txid)
      one.onPrepare = async (sql) => {
        await database
          .send(sql)(text)
          .catch(() => {})
      }
      expect(await one.prepare(txid), text).toBe('abort')
      expect(await two.prepare(txid), text).toBe('abort')
      await two.decide(txid, 'abort')
      expect(await effect(txid)).toBe('nothing')
    }
  })

  for (const lost of ['answer', 'request'] as const) {
    test(`P4, P8: the connection is cut at the COMMIT of a vote (${lost}): it is given after a look, and work is real once`, async () => {
      const world = worldOf()
      const mail = await ContractInstance.start<Sql>(world)
      const txid = newTxid()
      await mail.work(txid)
      database.proxy().cutAt(database.commit, lost)
      expect(await mail.prepare(txid)).toBe('commit')
      expect(mail.warnings).not.toEqual([])
      // With the answer alone the row was there: the handler is not asked again.
      expect(mail.calls).toEqual(lost === 'answer' ? ['work', 'prepare'] : ['work', 'prepare', 'prepare'])
      expect(await stateOf(gidOf(txid))).toBe('prepared')
      database.proxy().cutAt(database.commit, lost)
      await mail.decide(txid, 'commit')
      expect(await world.effect(gidOf(txid))).toBe('real 1')
    })

    test(`P8: the connection is cut at the COMMIT of work (${lost}): the caller hears it, and the branch votes abort`, async () => {
      const world = worldOf()
      const mail = await ContractInstance.start<Sql>(world)
      const other = await ContractInstance.start<Sql>(world)
      const txid = newTxid()
      database.proxy().cutAt(database.commit, lost)
      await expect(mail.work(txid)).rejects.toMatchObject({ code: 'RESOURCE_UNAVAILABLE' })
      expect(await other.prepare(txid)).toBe('abort')
      await other.decide(txid, 'abort')
      expect(await world.effect(gidOf(txid))).toBe('nothing')
    })
  }

  test('a second instance waits for the handler of the first, and says what that has voted', async () => {
    const { one, two } = await pair()
    const txid = newTxid()
    await one.work(txid)
    let commit: (() => void) | undefined
    one.onPrepare = () =>
      held((end) => {
        commit = end
      })
    const first = one.prepare(txid)
    await expect.poll(() => commit).toBeDefined()
    const second = two.prepare(txid)
    await pause(100)
    expect(two.calls).toEqual([])
    commit?.()
    expect(await Promise.all([first, second])).toEqual(['commit', 'commit'])
    expect(two.calls).toEqual([])
  })

  test('a pool without a free session gives no vote within the deadline, and one when it has', async () => {
    const world = worldOf(1)
    const mail = await ContractInstance.start<Sql>(world)
    const [busy, txid] = [newTxid(), newTxid()]
    await mail.work(txid)
    let finish: (() => void) | undefined
    const working = mail.work(busy, () =>
      held((end) => {
        finish = end
      }),
    )
    await expect.poll(() => finish).toBeDefined()
    const beganMs = performance.now()
    expect(await mail.prepare(txid, 300)).toBe('none')
    expect(performance.now() - beganMs).toBeLessThan(2_000)
    finish?.()
    await working
    expect(await mail.prepare(txid)).toBe('commit')
  })

  test('a handler that hangs gives its locks back when its time is over, and another instance goes on', async () => {
    const world = worldOf(8, { localMs: 1_000 })
    const one = await ContractInstance.start<Sql>(world)
    const two = await ContractInstance.start<Sql>(world)
    const txid = newTxid()
    await one.work(txid)
    one.onPrepare = () => new Promise(() => {})
    void one.prepare(txid, 500)
    await pause(50)
    expect(await two.prepare(txid)).toBe('commit')
  })

  test('P8: a session that falls silent at its COMMIT: nobody guesses, and another instance goes on when it is over', async () => {
    const world = worldOf(8, { localMs: 1_000 })
    const one = await ContractInstance.start<Sql>(world)
    const two = await ContractInstance.start<Sql>(world)
    const txid = newTxid()
    await one.work(txid)
    database.proxy().stallAt(database.commit)
    const first = one.prepare(txid, 400)
    await expect.poll(() => one.calls).toContain('prepare')
    await pause(50)
    expect(await two.prepare(txid)).toBe('commit')
    expect(await first).toBe('none')
    expect(two.calls).toEqual(['prepare'])
    expect(await one.prepare(txid)).toBe('commit')
    expect(one.calls).toEqual(['work', 'prepare'])
  })

  test('P7: what another instance left open for long is taken up, and what it has ended is let go', async () => {
    const world = worldOf()
    const one = await ContractInstance.start<Sql>(world)
    const two = await ContractInstance.start<Sql>(world, { options: { refreshMs: 50, foreignMs: 150 } })
    const txid = newTxid()
    await one.work(txid)
    await one.prepare(txid)
    expect(two.keeper.table.open(gidOf(txid))).toBeUndefined()
    await expect.poll(() => two.keeper.table.open(gidOf(txid))?.phase).toBe('voted')
    await one.decide(txid, 'commit')
    await expect.poll(() => two.keeper.table.open(gidOf(txid))).toBeUndefined()
    expect(two).toMatchObject({ calls: [], acks: [], errors: [] })
  })

  test('a branch knows how long it is left alone, also in the next process', async () => {
    const world = worldOf()
    const one = await ContractInstance.start<Sql>(world)
    const txid = newTxid()
    await one.work(txid, () => {}, 500_000)
    await one.stop()
    const next = await ContractInstance.start<Sql>(world)
    const found = next.journal.found.find((entry) => entry.txid === txid)
    expect(found?.dueInMs).toBeGreaterThan(450_000)
    expect(found?.dueInMs).toBeLessThanOrEqual(510_000)
  })

  test('a commit whose promise is gone is neither carried out nor acknowledged', async () => {
    const { one, two } = await pair()
    const txid = newTxid()
    await one.work(txid)
    await one.prepare(txid)
    await look('DELETE FROM concordat_journal WHERE gid = ?', gidOf(txid))
    for (const each of [one, two]) {
      each.keeper.decide(txid, BRANCH, 'commit')
      await expect.poll(() => each.errors).toHaveLength(1)
      expect(each.acks).toEqual([])
      expect(each.calls).not.toContain('commit')
    }
  })

  test('old ends are forgotten a round after the watermark passed them; late calls stay out, repeats are acknowledged', async () => {
    const world = worldOf(8, { rememberMs: 3_600_000 })
    const clock = new PushedClock()
    const mail = await ContractInstance.start<Sql>(world, { clock })
    const age = 7_200_000
    const [ended, open] = [newTxid(age), newTxid(age)]
    for (const txid of [ended, open]) {
      await mail.work(txid)
      await mail.prepare(txid)
    }
    await mail.decide(ended, 'commit')
    const old = `UPDATE concordat_journal SET changed_ms = changed_ms - ${age} WHERE gid = ?`
    for (const txid of [ended, open]) await look(old, gidOf(txid))
    await clock.push()
    await expect.poll(() => watermark(look)).toBeGreaterThan(Date.now() - 3_700_000)
    expect(await stateOf(gidOf(ended))).toBe('committed')
    await clock.push()
    await expect.poll(() => stateOf(gidOf(ended))).toBeUndefined()
    expect(await stateOf(gidOf(open))).toBe('prepared')
    const next = await ContractInstance.start<Sql>(world)
    await expect(next.work(ended)).rejects.toMatchObject({ code: 'BRANCH_OVER' })
    expect(await next.prepare(newTxid(age))).toBe('abort')
    await next.decide(ended, 'commit')
    await next.decide(open, 'commit')
    expect(next.calls).toEqual(['commit'])
    await look('UPDATE concordat_journal_meta SET forgotten_ms = 0 WHERE one = 1')
  })

  test('missing tables are said with the statements that make them; create makes them, for many at a time', async () => {
    const make = (options: SqlJournalOptions) => worldOf(4, { table: 'other_journal', ...options })
    await look('DROP TABLE IF EXISTS other_journal, other_journal_meta')
    const failing = ContractInstance.start<Sql>(make({}))
    await expect(failing).rejects.toMatchObject({
      code: 'JOURNAL_UNUSABLE',
      message: expect.stringContaining('CREATE TABLE IF NOT EXISTS'),
    })
    const world = make({ create: true })
    await Promise.all(Array.from({ length: 4 }, () => ContractInstance.start<Sql>(world)))
    await look('UPDATE other_journal_meta SET version = 9')
    await expect(ContractInstance.start<Sql>(world)).rejects.toMatchObject({ code: 'JOURNAL_UNUSABLE' })
  })
}

/** Work that lasts until it is told to end. */
function held(give: (end: () => void) => void): Promise<void> {
  return new Promise(give)
}

async function watermark(look: Send): Promise<number> {
  return Number((await look('SELECT forgotten_ms FROM concordat_journal_meta'))[0]?.forgotten_ms)
}

/** The machine's clock, except that what comes round once a minute comes when it is pushed. */
class PushedClock {
  readonly #tasks: (() => void)[] = []
  monotonicMs = () => performance.now()
  wallMs = () => Date.now()
  after = (delayMs: number, task: () => void) => ({ timer: setTimeout(task, delayMs).unref() })
  cancel = ({ timer }: { readonly timer: unknown }) => clearTimeout(timer as NodeJS.Timeout)
  every = (periodMs: number, task: () => void) => {
    if (periodMs === 60_000) this.#tasks.push(task)
    return { timer: undefined }
  }

  async push(): Promise<void> {
    for (const task of this.#tasks) task()
    await pause(300)
  }
}
