import { expect, test } from 'vitest'
import { Prng } from '../../src/base/index.ts'
import { Concordat } from '../../src/client/index.ts'
import { enough, runMs } from '../support/chaos.support.ts'
import { pause, until } from '../support/waiting.support.ts'
import { ACCOUNTS, BALANCE, FourBanks } from './banks.support.ts'

const WORKERS = 6

test('P1, P4, P7: money goes round four kinds of banks while participants and leaders are killed; every audit sees all of it', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const prng = new Prng(seed)
  const { fleet, banks, processes } = await FourBanks.open()
  await using concordat = new Concordat({ coordinators: fleet.addresses, closeTimeoutMs: 1_000 })
  const whole = banks.length * ACCOUNTS * BALANCE
  const counts = { committed: 0, audits: 0, failed: 0, kills: 0 }
  const told = new Map<string, 'committed' | 'aborted' | 'unknown'>()
  const goesOn = enough(() => counts.committed > 40 && counts.audits > 1 && counts.kills > 5)
  const why = new Map<string, number>()
  const failed = (what: string, error: unknown): void => {
    counts.failed++
    const { code = 'no code', reason = '', message } = error as { code?: string; reason?: string; message: string }
    const words = `${what}: ${code} ${reason}${code === 'no code' ? message : ''}`
    why.set(words, (why.get(words) ?? 0) + 1)
  }
  const context = (): string => `seed ${seed}, ${JSON.stringify(counts)}, ${JSON.stringify([...why])}`

  const transfer = async (): Promise<void> => {
    let txid = ''
    const [from, to] = [prng.below(banks.length), prng.below(banks.length)]
    if (from === to) return
    const amount = prng.between(1, 20)
    try {
      await concordat.transaction({ timeoutMs: 4_000 }, async (tx) => {
        txid = tx.txid
        for (const [index, bank] of banks.entries()) {
          if (index === from) await bank.move(tx, prng.below(ACCOUNTS), -amount)
          if (index === to) await bank.move(tx, prng.below(ACCOUNTS), amount)
        }
      })
      told.set(txid, 'committed')
      counts.committed++
    } catch (error) {
      failed('transfer', error)
      told.set(txid, (error as { code?: string }).code === 'TXN_OUTCOME_UNKNOWN' ? 'unknown' : 'aborted')
    }
  }
  const audit = async (): Promise<void> => {
    let sum: number
    try {
      sum = await concordat.transaction({ timeoutMs: 4_000 }, async (tx) => {
        let found = 0
        for (const bank of banks) found += await bank.sum(tx)
        return found
      })
    } catch (error) {
      failed('audit', error)
      return
    }
    expect(sum, `an audit; ${context()}`).toBe(whole)
    counts.audits++
  }
  const worker = async (work: () => Promise<void>, pauseMs: number): Promise<void> => {
    while (goesOn()) {
      await work()
      await pause(pauseMs)
    }
  }
  const killer = async (): Promise<void> => {
    for (let round = 1; goesOn(); round++) {
      await pause(400 + prng.below(600))
      counts.kills++
      if (round % 3 === 0) {
        const { node } = await fleet.leader()
        await fleet.kill(node)
        await pause(300)
        fleet.start(node)
        continue
      }
      const victim = prng.pick(processes)
      await victim.kill()
      await pause(prng.below(300))
      await victim.restart()
    }
  }
  await Promise.all([
    killer(),
    worker(audit, 50),
    ...Array.from({ length: WORKERS }, () => worker(transfer, prng.below(10))),
  ])

  const sums = () => Promise.all(banks.map((bank) => bank.total()))
  await until('every bank has ended what was decided', async () => {
    const lists = await Promise.all(banks.map((bank) => bank.txids()))
    const moved = new Set(lists.flatMap((list) => [...list]))
    return [...moved].every((txid) => lists.filter((list) => list.has(txid)).length === 2)
  })
  await until('the money is all there', async () => (await sums()).reduce((sum, each) => sum + each, 0) === whole)
  const lists = await Promise.all(banks.map((bank) => bank.txids()))
  for (const [txid, outcome] of told) {
    const at = lists.filter((list) => list.has(txid)).length
    if (outcome !== 'unknown') expect(at, `${txid} was ${outcome}; ${context()}`).toBe(outcome === 'committed' ? 2 : 0)
  }
  expect(counts.committed, context()).toBeGreaterThan(0)
  expect(counts.audits, context()).toBeGreaterThan(0)
  console.info(`${context()}, ${runMs} ms at least`)
}, 180_000)
