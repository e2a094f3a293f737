import { expect, test } from 'vitest'
import { Prng } from '../../src/base/index.ts'
import type { Transaction } from '../../src/client/index.ts'
import type { KeyValueStore } from '../../src/kv/index.ts'
import { enough } from '../support/chaos.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { pause } from '../support/waiting.support.ts'
import { application } from './booking.support.ts'
import { KvProcess } from './key-value.support.ts'

const COMMITTED_MIN = 50
const AUDITS_MIN = 3
const KILLS_MIN = 8
const WORKERS = 8
const ACCOUNTS = 10
const MONEY = 100

const CONFIG = { rules: [{ kind: 'notBelowZero', prefix: 'account/' }], limits: { lockTimeoutMs: 2_000 } }

function sumOf(entries: readonly { readonly value: unknown }[]): number {
  return entries.reduce((sum, { value }) => sum + Number(value), 0)
}

test('P1, P4, P7: participants and leaders are killed at random; no audit ever sees a sum that is not the whole', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const prng = new Prng(seed)
  const fleet = await Fleet.start({ config: { participants: ['north', 'south'] } })
  const concordat = application(fleet)
  const names = ['north', 'south']
  const participants = await Promise.all(names.map((name) => KvProcess.start(fleet, name, CONFIG)))
  const stores = participants.map((participant) => participant.store())
  for (const store of stores) {
    for (let number = 0; number < ACCOUNTS; number++) await store.put(`account/${number}`, MONEY)
  }
  const whole = stores.length * ACCOUNTS * MONEY
  const counts = {
    readBack: 0,
    lone: 0,
    loneUnknown: 0,
    calls: 0,
    callsUnknown: 0,
    committed: 0,
    failed: 0,
    audits: 0,
    kills: 0,
  }
  const told = new Map<string, 'committed' | 'aborted' | 'unknown'>()
  const codes = new Map<unknown, number>()
  const goesOn = enough(
    () => counts.committed > COMMITTED_MIN && counts.kills > KILLS_MIN && counts.audits > AUDITS_MIN,
  )
  const fail = (error: unknown): string => {
    const { code } = error as { readonly code?: string }
    counts.failed += 1
    codes.set(code, (codes.get(code) ?? 0) + 1)
    // Every failure is one of ours: nobody is left with a riddle.
    expect(code, String(error)).toMatch(/^(TXN|KV|COORDINATOR)_/)
    return code?.endsWith('_OUTCOME_UNKNOWN') === true ? 'unknown' : 'aborted'
  }

  const move = async (tx: Transaction, store: KeyValueStore, amount: number): Promise<void> => {
    const branch = await tx.enlist(store)
    await branch.add(`account/${prng.below(ACCOUNTS)}`, amount)
    await branch.put(`done/${tx.txid}`, amount)
  }
  /** What was told to be committed is seen by whoever reads afterwards, also while its participant dies and comes back. */
  const readBack = async (txid: string): Promise<void> => {
    for (const store of stores) {
      const found = await store.get(`done/${txid}`).catch(fail)
      expect(found, `${txid} was committed; seed ${seed}`).toBeDefined()
      if (typeof found === 'number') counts.readBack += 1
    }
  }
  const transfer = async (): Promise<void> => {
    let txid = ''
    const amount = prng.between(1, 20)
    const sign = prng.chance(0.5) ? 1 : -1
    try {
      await concordat.transaction({ timeoutMs: 4_000 }, async (tx) => {
        txid = tx.txid
        // In the same order everywhere, or two of them would wait for each other at two participants until a timeout.
        await move(tx, stores[0]!, -sign * amount)
        await move(tx, stores[1]!, sign * amount)
      })
      told.set(txid, 'committed')
      counts.committed += 1
      if (prng.chance(0.2)) await readBack(txid)
    } catch (error) {
      told.set(txid, fail(error) as 'aborted' | 'unknown')
    }
  }
  /** Commits in one phase: without coordinators, and with an answer that a kill may lose. */
  const lone = async (): Promise<void> => {
    try {
      await concordat.transaction({ timeoutMs: 4_000 }, async (tx) => (await tx.enlist(stores[0]!)).add('lone', 1))
      counts.lone += 1
    } catch (error) {
      if (fail(error) === 'unknown') counts.loneUnknown += 1
    }
  }
  /** The same, outside of transactions. */
  const call = async (): Promise<void> => {
    try {
      const found = await stores[1]!.get('calls')
      if (await stores[1]!.compareAndSet('calls', found, Number(found ?? 0) + 1)) counts.calls += 1
    } catch (error) {
      if (fail(error) === 'unknown') counts.callsUnknown += 1
    }
  }
  const audit = async (): Promise<void> => {
    try {
      const sum = await concordat.transaction({ timeoutMs: 4_000 }, async (tx) => {
        let found = 0
        for (const store of stores) {
          const branch = await tx.enlist(store)
          found += sumOf((await branch.scan({ prefix: 'account/' })).entries)
        }
        return found
      })
      expect(sum, `an audit; seed ${seed}`).toBe(whole)
      counts.audits += 1
    } catch (error) {
      if ((error as Error).name === 'AssertionError') throw error
      fail(error)
    }
  }
  const worker = async (work: () => Promise<void>, pauseMs: number): Promise<void> => {
    while (goesOn()) {
      await work()
      await pause(pauseMs)
    }
  }
  const killer = async (): Promise<void> => {
    for (let round = 1; goesOn(); round++) {
      await pause(400 + prng.below(800))
      counts.kills += 1
      if (round % 5 === 0) {
        const { node } = await fleet.leader()
        await fleet.kill(node)
        await pause(500)
        fleet.start(node)
        continue
      }
      const victim = participants[prng.below(2)]!
      await victim.kill()
      await pause(prng.below(500))
      await victim.restart()
    }
  }
  await Promise.all([
    killer(),
    worker(audit, 100),
    worker(lone, 0),
    worker(call, 0),
    ...Array.from({ length: WORKERS }, () => worker(transfer, prng.below(10))),
  ])

  const context = `seed ${seed}, ${JSON.stringify(counts)}, ${JSON.stringify([...codes])}`
  await Promise.all(participants.map((participant) => participant.inDoubt(0)))
  const sums = await Promise.all(stores.map(async (store) => sumOf((await store.scan({ prefix: 'account/' })).entries)))
  expect(sums[0]! + sums[1]!, context).toBe(whole)
  const [found, calls] = [Number(await stores[0]!.get('lone')), Number(await stores[1]!.get('calls'))]
  expect(found, context).toBeGreaterThanOrEqual(counts.lone)
  expect(found, context).toBeLessThanOrEqual(counts.lone + counts.loneUnknown)
  expect(calls, context).toBeGreaterThanOrEqual(counts.calls)
  expect(calls, context).toBeLessThanOrEqual(counts.calls + counts.callsUnknown)
  const done = await Promise.all(
    stores.map(async (store) => {
      const found: string[] = []
      for (let from: string | undefined = 'done/'; from !== undefined; ) {
        const page = await store.scan({ prefix: 'done/', from })
        found.push(...page.entries.map(({ key }) => key.slice('done/'.length)))
        from = page.next
      }
      return found
    }),
  )
  expect(done[0], context).toEqual(done[1])
  const both = new Set(done[0])
  for (const [txid, outcome] of told) {
    if (outcome !== 'unknown')
      expect(both.has(txid), `${txid} was ${outcome}; ${context}`).toBe(outcome === 'committed')
  }
  expect(counts.committed, context).toBeGreaterThan(COMMITTED_MIN)
  expect(counts.audits, context).toBeGreaterThan(AUDITS_MIN)
  expect(counts.kills, context).toBeGreaterThan(KILLS_MIN)
  expect(counts.readBack, context).toBeGreaterThan(0)
  console.info(context)
}, 180_000)
