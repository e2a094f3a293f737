import { afterAll, beforeAll, expect, onTestFailed, onTestFinished, test } from 'vitest'
import { Prng } from '../../src/base/index.ts'
import { Concordat } from '../../src/client/index.ts'
import { Banks } from '../support/banks.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { Transfers } from '../support/transfers.support.ts'
import { pause } from '../support/waiting.support.ts'

let banks: Banks
beforeAll(async () => {
  banks = await Banks.start()
})
afterAll(() => banks?.close())

function connect(fleet: Fleet): Concordat {
  const concordat = new Concordat({ coordinators: fleet.addresses, decisionTimeoutMs: 3_000, closeTimeoutMs: 3_000 })
  onTestFinished(() => concordat.close())
  return concordat
}

function transfersOf(name: string, seed: number): Transfers {
  const transfers = new Transfers(banks, name, seed)
  onTestFailed(() => console.error(`seed ${seed}: ${transfers.describe()}`))
  return transfers
}

/** The coordinators, too, tell what the callers were told. */
async function coordinatorsAgree(fleet: Fleet, transfers: Transfers): Promise<void> {
  const wrong: string[] = []
  for (const [id, told] of [...transfers.told].slice(-100)) {
    const { kind } = await fleet.outcome(transfers.txids.get(id)!)
    if (told === 'committed' && kind !== 'committed') wrong.push(`${id} was told committed, and now it is ${kind}`)
    if (told === 'aborted' && kind === 'committed') wrong.push(`${id} was told aborted, and now it is committed`)
  }
  expect(wrong).toEqual([])
}

test('money moves between real databases while the leader is killed, and no outcome told is ever untrue', async () => {
  const fleet = await Fleet.start({ config: { resources: banks.configured } })
  const transfers = transfersOf('leader', 1)
  transfers.start(connect(fleet), 8)
  for (let round = 1; round <= 3; round++) {
    await transfers.committedMore(20)
    const { node } = await fleet.leader()
    await fleet.kill(node)
    await transfers.committedMore(10)
    fleet.start(node)
  }
  await transfers.stop()
  await transfers.audit()
  await coordinatorsAgree(fleet, transfers)
})

test('money moves while coordinators are killed at random, fifteen times', async () => {
  const seed = 7
  const prng = new Prng(seed)
  const fleet = await Fleet.start({ config: { resources: banks.configured } })
  const transfers = transfersOf('random', seed)
  transfers.start(connect(fleet), 8)
  await transfers.committedMore(10)
  for (let cycle = 1; cycle <= 15; cycle++) {
    const victim = prng.pick(fleet.ids)
    await fleet.kill(victim)
    await pause(prng.between(0, 700))
    fleet.start(victim)
    await pause(prng.between(0, 700))
  }
  await transfers.committedMore(10)
  await transfers.stop()
  await transfers.audit()
  await coordinatorsAgree(fleet, transfers)
})

test('P7: when everything loses its power at once, branches left prepared are settled after the start', async () => {
  const fleet = await Fleet.start({ config: { resources: banks.configured } })
  const transfers = transfersOf('power', 3)
  transfers.start(connect(fleet), 8)
  for (let round = 1; round <= 2; round++) {
    await transfers.committedMore(20)
    await fleet.kill(...fleet.ids)
    // Long enough for callers to be left without an answer.
    await pause(round === 1 ? 0 : 3_500)
    fleet.startAll()
  }
  await transfers.committedMore(10)
  await transfers.stop()
  await transfers.audit()
  await coordinatorsAgree(fleet, transfers)
})
