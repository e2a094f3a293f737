import { beforeEach, expect, test } from 'vitest'
import { type Concordat, TransactionAbortedError } from '../../src/client/index.ts'
import { Fleet } from '../support/fleet.support.ts'
import { until } from '../support/waiting.support.ts'
import { application, BookingService, crashApplication } from './booking.support.ts'

let fleet: Fleet
let concordat: Concordat
let payments: BookingService
let hotels: BookingService

beforeEach(async () => {
  fleet = await Fleet.start()
  concordat = application(fleet)
  payments = new BookingService(fleet, 'payments')
  hotels = new BookingService(fleet, 'hotels')
})

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  )
}

async function bookedOnce(): Promise<void> {
  await until('both services have booked', () => payments.booked.length === 1 && hotels.booked.length === 1)
  expect([...payments.aside, ...hotels.aside]).toEqual([])
}

async function nothingLeft(): Promise<void> {
  await until('nothing is set aside', () => payments.aside.length + hotels.aside.length === 0)
  expect([...payments.booked, ...hotels.booked]).toEqual([])
}

test('two services commit together; each instance carries out what it holds', async () => {
  const [one, two] = await Promise.all([payments.start('one'), payments.start('two')])
  const hotel = await hotels.start('one')
  await concordat.transaction(async (tx) => {
    await one.book(tx, 'seat')
    await two.book(tx, 'meal')
    await hotel.book(tx, 'room')
  })
  await until('all is booked', () => payments.booked.length === 2 && hotels.booked.length === 1)
  expect([...payments.calls].sort()).toEqual(['one commit', 'one prepare', 'two commit', 'two prepare'])
  await until('nothing is open', async () => (await one.open()).length + (await two.open()).length === 0)
  const status = await fleet.operator('status')
  expect(status.stdout).toMatch(/PARTICIPANT +INSTANCES\nhotels +1\npayments +2/)
})

test('a callback that throws, a vote to abort and a reader leave nothing behind', async () => {
  const [payment, hotel] = await Promise.all([payments.start('one'), hotels.start('one')])
  const refused = new Error('changed my mind')
  const thrown = concordat.transaction(async (tx) => {
    await payment.book(tx, 'seat')
    throw refused
  })
  expect(await failure(thrown)).toBe(refused)
  const voted = concordat.transaction(async (tx) => {
    await hotel.book(tx, 'room')
    await payment.book(tx, 'taken')
  })
  expect(await failure(voted)).toMatchObject({ code: 'TXN_ABORTED', reason: 'votedAbort', participant: 'payments' })
  await nothingLeft()
  await concordat.transaction((tx) => payment.book(tx, 'look'))
  expect(payments.calls.at(-1)).toBe('one prepare')
})

test('a service that nobody knows aborts the transaction at once', async () => {
  const hotel = await hotels.start('one')
  const startMs = performance.now()
  const work = concordat.transaction(async (tx) => {
    await hotel.book(tx, 'room')
    await tx.enlist({ kind: 'service', name: 'nobody' })
  })
  expect(await failure(work)).toMatchObject({ reason: 'unreachable', participant: 'nobody' })
  expect(performance.now() - startMs).toBeLessThan(5_000)
  await nothingLeft()
})

test('kill -9 of the instance that voted: another one finishes the branch, and the dead one learns it when it returns', async () => {
  const [doomed] = await Promise.all([payments.start('doomed', { die: 'afterVote' }), payments.start('other')])
  const hotel = await hotels.start('slow', { prepareMs: 1_000 })
  await concordat.transaction(async (tx) => {
    await doomed.book(tx, 'seat')
    await hotel.book(tx, 'room')
  })
  await bookedOnce()
  await doomed.gone()
  expect(payments.calls).toEqual(['doomed prepare', 'other commit'])
  const again = await payments.start('doomed')
  await until('it has asked', async () => (await again.open()).length === 0)
  expect(payments.calls.at(-1)).toBe('doomed commit')
  expect(payments.booked).toHaveLength(1)
})

test('kill -9 amid the commit handler: another instance finishes it', async () => {
  const [doomed] = await Promise.all([payments.start('doomed', { die: 'inCommit' }), payments.start('other')])
  const hotel = await hotels.start('one')
  await concordat.transaction(async (tx) => {
    await doomed.book(tx, 'seat')
    await hotel.book(tx, 'room')
  })
  await bookedOnce()
  expect(payments.calls).toEqual(['doomed prepare', 'doomed commit', 'other commit'])
})

test('kill -9 of an instance before it voted: the deadline aborts, and another instance drops what it had set aside', async () => {
  const [doomed] = await Promise.all([payments.start('doomed', { die: 'inPrepare' }), payments.start('other')])
  const hotel = await hotels.start('one')
  const work = concordat.transaction({ timeoutMs: 2_000 }, async (tx) => {
    await doomed.book(tx, 'seat')
    await hotel.book(tx, 'room')
  })
  const error = await failure(work)
  expect(error).toBeInstanceOf(TransactionAbortedError)
  expect(error).toMatchObject({ reason: 'deadline', participant: 'payments' })
  await nothingLeft()
})

test('an instance that is stopped after its vote keeps nothing waiting: another one finishes the branch', async () => {
  const [stopped] = await Promise.all([payments.start('stopped'), payments.start('other')])
  const hotel = await hotels.start('slow', { prepareMs: 1_000 })
  const work = concordat.transaction(async (tx) => {
    await stopped.book(tx, 'seat')
    await hotel.book(tx, 'room')
  })
  await until('it has voted', async () => (await stopped.open()).some(({ state }) => state === 'inDoubt'))
  stopped.signal('SIGSTOP')
  await work
  await bookedOnce()
  expect(payments.calls).toEqual(['stopped prepare', 'other commit'])
  stopped.signal('SIGCONT')
  await until('it has heard', async () => (await stopped.open()).length === 0)
  expect(payments.booked).toHaveLength(1)
})

test('kill -9 of the leader while votes are gathered: the next one asks again and the transaction commits', async () => {
  const [payment, hotel] = await Promise.all([payments.start('one'), hotels.start('slow', { prepareMs: 1_500 })])
  const work = concordat.transaction(async (tx) => {
    await payment.book(tx, 'seat')
    await hotel.book(tx, 'room')
  })
  await until('one has voted', async () => (await payment.open()).some(({ state }) => state === 'inDoubt'))
  const { node } = await fleet.leader()
  await fleet.kill(node)
  await work
  await bookedOnce()
  // The vote came back from the journal: the handler was not asked a second time.
  expect([...payments.calls].sort()).toEqual(['one commit', 'one prepare'])
})

test('P6: kill -9 of the leader and of the application while votes are gathered: services in doubt learn the outcome', async () => {
  const [payment, hotel] = await Promise.all([payments.start('one'), hotels.start('slow', { prepareMs: 1_500 })])
  const calls = [
    { name: 'payments', url: payment.url, seat: 'seat' },
    { name: 'hotels', url: hotel.url, seat: 'room' },
  ]
  const txid = await crashApplication(fleet, { timeoutMs: 30_000, calls, die: 'afterCommitRequest' })
  const { node } = await fleet.leader()
  await fleet.kill(node)
  await bookedOnce()
  expect(await fleet.outcome(txid)).toMatchObject({ kind: 'committed' })
})

test('kill -9 of the application after its commit request: the coordinators finish without it', async () => {
  const [payment, hotel] = await Promise.all([payments.start('one'), hotels.start('slow', { prepareMs: 1_000 })])
  const calls = [
    { name: 'payments', url: payment.url, seat: 'seat' },
    { name: 'hotels', url: hotel.url, seat: 'room' },
  ]
  await crashApplication(fleet, { timeoutMs: 30_000, calls, die: 'afterCommitRequest' })
  await bookedOnce()
})

test('P7: kill -9 of the application before its commit request: the service asks, and drops what it had set aside', async () => {
  const payment = await payments.start('one')
  const calls = [{ name: 'payments', url: payment.url, seat: 'seat' }]
  const txid = await crashApplication(fleet, { timeoutMs: 1_000, calls, die: 'beforeCommit' })
  expect(payments.aside).toHaveLength(1)
  await nothingLeft()
  expect(await fleet.outcome(txid)).toMatchObject({ kind: 'aborted', reason: 'presumed' })
  expect(await payment.open()).toEqual([])
})

test('SIGTERM while in doubt: what is open waits in the journal, and the next start finishes it', async () => {
  const payment = await payments.start('one')
  const hotel = await hotels.start('slow', { prepareMs: 1_000 })
  const work = concordat.transaction(async (tx) => {
    await payment.book(tx, 'seat')
    await hotel.book(tx, 'room')
  })
  await until('it has voted', async () => (await payment.open()).some(({ state }) => state === 'inDoubt'))
  await payment.kill('SIGTERM')
  await work
  expect(payments.booked).toEqual([])
  await payments.start('one')
  await bookedOnce()
})
