import { expect, onTestFailed, test } from 'vitest'
import { Prng, parseGid } from '../../src/base/index.ts'
import { enough } from '../support/chaos.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { pause, until } from '../support/waiting.support.ts'
import { application, BookingService, type Instance } from './booking.support.ts'

const COMMITTED_MIN = 20
const KILLS_MIN = 5
const WORKERS = 6

/** Transactions whose work is there. */
function txidsOf(gids: readonly string[]): ReadonlySet<string> {
  return new Set(gids.map((gid) => parseGid(gid)?.txid ?? gid))
}

test('P1, P7: instances and leaders are killed at random, and every transaction is in both services or in none', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const prng = new Prng(seed)
  const fleet = await Fleet.start({ config: { participants: ['payments', 'hotels'] } })
  const concordat = application(fleet)
  const services = ['payments', 'hotels'].map((name) => new BookingService(fleet, name))
  const start = (service: BookingService, number: number) => service.start(`${number}`, { prepareMs: 5 })
  const instances = await Promise.all(services.map((service) => Promise.all([start(service, 1), start(service, 2)])))
  const counts = { committed: 0, failed: 0, kills: 0 }
  const told = new Map<string, 'committed' | 'aborted' | 'unknown'>()
  const goesOn = enough(() => counts.committed > COMMITTED_MIN && counts.kills > KILLS_MIN)

  const transfer = async (): Promise<void> => {
    let txid = ''
    try {
      await concordat.transaction({ timeoutMs: 3_000 }, async (tx) => {
        txid = tx.txid
        for (const pair of instances) await (pair[prng.below(2)] as Instance).book(tx, 'seat')
        if (prng.below(10) === 0) throw new Error('changed my mind')
      })
      told.set(txid, 'committed')
      counts.committed += 1
    } catch (error) {
      told.set(txid, (error as { code?: string }).code === 'TXN_OUTCOME_UNKNOWN' ? 'unknown' : 'aborted')
      counts.failed += 1
    }
  }
  const worker = async (): Promise<void> => {
    while (goesOn()) await transfer()
  }
  const killer = async (): Promise<void> => {
    for (let round = 1; goesOn(); round++) {
      await pause(200 + prng.below(600))
      counts.kills += 1
      if (round % 5 === 0) {
        const { node } = await fleet.leader()
        await fleet.kill(node)
        await pause(500)
        fleet.start(node)
        continue
      }
      const which = prng.below(2)
      const number = prng.below(2)
      const pair = instances[which]!
      await pair[number]!.kill()
      await pause(prng.below(500))
      pair[number] = await start(services[which]!, number + 1)
    }
  }
  await Promise.all([killer(), ...Array.from({ length: WORKERS }, worker)])

  onTestFailed(async () => {
    const open = await Promise.all(instances.flat().map((instance) => instance.open()))
    console.error(JSON.stringify({ seed, counts, aside: services.map(({ aside }) => aside), open }))
  })
  const settled = () => services.every(({ aside }) => aside.length === 0)
  await until('nothing is set aside any more', settled, 40_000)
  const [payments, hotels] = services.map(({ booked }) => txidsOf(booked)) as [ReadonlySet<string>, ReadonlySet<string>]
  const context = `seed ${seed}, ${JSON.stringify(counts)}`
  expect([...payments].sort(), context).toEqual([...hotels].sort())
  for (const [txid, outcome] of told) {
    if (outcome !== 'unknown')
      expect(payments.has(txid), `${txid} was ${outcome}; ${context}`).toBe(outcome === 'committed')
  }
  expect(counts.committed, context).toBeGreaterThan(COMMITTED_MIN)
  expect(counts.kills, context).toBeGreaterThan(KILLS_MIN)
  console.info(context)
}, 180_000)
