import { describe, expect, test } from 'vitest'
import { OutcomeUnknownError } from '../../src/client/index.ts'
import { crashApplication } from '../participants/booking.support.ts'
import { pause, until } from '../support/waiting.support.ts'
import { Bank, hasPython, type ServiceProcess } from './http-services.support.ts'

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  )
}

async function hasVoted(each: ServiceProcess, bank: Bank): Promise<void> {
  await until(`${each.name} has voted`, async () =>
    (await each.inDoubt(bank.fleet.cluster))?.some(({ state }) => state === 'prepared'),
  )
}

async function hasCommitted(bank: Bank, txid: string): Promise<boolean> {
  return until('the outcome is known', async () => {
    const { kind } = await bank.fleet.outcome(txid)
    return kind === 'committed' || kind === 'aborted' ? { isCommitted: kind === 'committed' } : undefined
  }).then(({ isCommitted }) => isCommitted)
}

describe.skipIf(!hasPython)('three coordinators, a service in Python and one on Fastify', () => {
  test('both commit, or both abort', async () => {
    const bank = await Bank.open()
    const concordat = bank.application()
    await concordat.transaction((tx) => bank.move(tx, 40))
    expect(await bank.settled()).toEqual([960, 40])
    const tooMuch = concordat.transaction(async (tx) => {
      await bank.savings.call(tx, '/credit', { amount: 5_000 })
      await bank.payments.call(tx, '/charge', { account: 'ada', amount: 5_000 })
    })
    expect(String(await failure(tooMuch))).toContain('NOT_ENOUGH_MONEY')
    // Enlisted and never called: nobody holds it, and Python says so at once. The deadline is far away.
    const startMs = performance.now()
    const uncalled = concordat.transaction(async (tx) => {
      await bank.savings.call(tx, '/credit', { amount: 7 })
      await tx.enlist({ kind: 'service', name: 'payments' })
    })
    expect(await failure(uncalled)).toMatchObject({ reason: 'votedAbort', participant: 'payments' })
    expect(performance.now() - startMs).toBeLessThan(10_000)
    expect(await bank.settled()).toEqual([960, 40])
    const status = await bank.fleet.operator('status')
    expect(status.stdout).toMatch(/PARTICIPANT +INSTANCES\npayments +1\nsavings +1/)
  })

  test.each(['payments', 'savings'] as const)(
    'kill -9 of %s after its vote: the transaction commits without it, and it follows when it is back',
    async (name) => {
      const bank = await Bank.open()
      const [doomed, other] = name === 'payments' ? [bank.payments, bank.savings] : [bank.savings, bank.payments]
      const work = bank.application().transaction(async (tx) => {
        await bank.move(tx, 40)
        other.signal('SIGSTOP')
      })
      await hasVoted(doomed, bank)
      await doomed.kill()
      other.signal('SIGCONT')
      await work
      await doomed.start()
      expect(await bank.settled()).toEqual([960, 40])
    },
  )

  test('kill -9 of the leader between the votes: the next one asks again, and commits once', async () => {
    const bank = await Bank.open()
    const work = bank.application().transaction(async (tx) => {
      await bank.move(tx, 40)
      bank.payments.signal('SIGSTOP')
    })
    await hasVoted(bank.savings, bank)
    const inDoubt = await bank.fleet.operator('in-doubt')
    expect(inDoubt.stdout).toMatch(/ 1 +savings +< .* preparing /)
    expect(inDoubt.stdout).toMatch(/savings +service +1 /)
    const { node } = await bank.fleet.leader()
    await bank.fleet.kill(node)
    bank.payments.signal('SIGCONT')
    await work
    expect(await bank.settled()).toEqual([960, 40])
  })

  test('kill -9 of the leader, and of both services in doubt: the decision comes to them when they are back', async () => {
    const bank = await Bank.open()
    const work = bank.application().transaction(async (tx) => {
      await bank.move(tx, 40)
      bank.payments.signal('SIGSTOP')
    })
    await hasVoted(bank.savings, bank)
    const { node } = await bank.fleet.leader()
    await Promise.all([bank.fleet.kill(node), bank.savings.kill(), bank.payments.kill()])
    await Promise.all([bank.savings.start(), bank.payments.start()])
    bank.fleet.start(node)
    await work
    expect(await bank.settled()).toEqual([960, 40])
  })

  test('an application that dies before its commit request: the list tells of its branches, and they are dropped when its time is over', async () => {
    const bank = await Bank.open()
    const calls = [
      { name: 'payments', url: `${bank.payments.url}/charge`, seat: JSON.stringify({ account: 'ada', amount: 40 }) },
    ]
    const txid = await crashApplication(bank.fleet, { timeoutMs: 2_000, calls, die: 'beforeCommit' })
    expect(await bank.payments.inDoubt(bank.fleet.cluster)).toMatchObject([{ txid, state: 'joined' }])
    expect((await bank.balances())[0]).toBe(960)
    expect(await bank.settled(40_000)).toEqual([1_000, 0])
    expect(await bank.fleet.outcome(txid)).toMatchObject({ kind: 'aborted', reason: 'presumed' })
  })

  test('while services and leaders are killed at random no money is lost or made', async () => {
    const bank = await Bank.open()
    const concordat = bank.application(8_000)
    const victims = [bank.payments, bank.savings]
    let isOver = false
    let kills = 0
    const killing = (async () => {
      while (!isOver) {
        await pause(200 + Math.random() * 800)
        const victim = victims[kills % 3]
        kills += 1
        if (victim === undefined) {
          const { node } = await bank.fleet.leader()
          await bank.fleet.kill(node)
          bank.fleet.start(node)
        } else {
          await victim.kill()
          await victim.start()
        }
      }
    })()
    let committed = 0
    const giveUpMs = performance.now() + 60_000
    while ((committed < 15 || kills < 9) && performance.now() < giveUpMs) {
      try {
        await concordat.transaction((tx) => bank.move(tx, 1))
        committed += 1
      } catch (error) {
        // A call that was cut off, or an abort: nothing happened. Who is told "unknown" asks the fleet.
        if (error instanceof OutcomeUnknownError && (await hasCommitted(bank, error.txid))) committed += 1
        await pause(20)
      }
    }
    isOver = true
    await killing
    // A branch that was joined when its service died is due after 40 s, since its ticket died with it.
    const [payments, savings] = await bank.settled(70_000)
    expect(committed).toBeGreaterThanOrEqual(15)
    expect(kills).toBeGreaterThanOrEqual(9)
    expect([payments, savings]).toEqual([Bank.START - committed, committed])
  }, 180_000)
})
