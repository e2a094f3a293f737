import { expect, test } from 'vitest'
import { VirtualClock } from '../coordinator/virtual-clock.test-support.ts'
import { limitOf, SlotGate, type Slots } from './slot-gate.ts'

const OPTIONS = { freshMs: 1_000, closedMs: 50, patienceMs: 250 }

/** A gate before a server that says how many places are used. */
function gate(used: number, limit = 4) {
  const clock = new VirtualClock()
  const server = { used, looks: 0 }
  const slotGate = new SlotGate('flights', clock, OPTIONS)
  const look = async (): Promise<Slots> => {
    server.looks++
    return { used: server.used, limit }
  }
  return { clock, server, slotGate, admit: () => slotGate.admit(look) }
}

test('a tenth of the places is kept, one at least, and one may always be used', () => {
  expect([1, 2, 3, 8, 10, 11, 64, 100].map(limitOf)).toEqual([1, 1, 2, 7, 9, 9, 57, 90])
})

test('branches are let in below the limit, with one look a second', async () => {
  const { clock, server, admit } = gate(3)
  await admit()
  await admit()
  expect(server.looks).toBe(1)
  await clock.advance(1_000)
  await admit()
  expect(server.looks).toBe(2)
})

test('own branches that were prepared since the look are counted', async () => {
  const { clock, slotGate, server, admit } = gate(2)
  await admit()
  slotGate.took()
  await admit()
  slotGate.took()
  server.used = 4
  const refused = expect(admit()).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED', retryable: true })
  await clock.advance(1_000)
  await refused
})

test('a full server is asked again and again for a little while, and whoever waits is let in when there is room', async () => {
  const { clock, server, admit } = gate(4)
  const waiting = admit()
  await clock.advance(120)
  expect(server.looks).toBeGreaterThan(1)
  server.used = 3
  await clock.advance(60)
  await waiting
})

test('it is refused when the little while is over, with what to do', async () => {
  const { clock, admit } = gate(9)
  const refused = expect(admit()).rejects.toThrow(
    /holds 9 prepared branches, and nobody is let in from 4 on; nothing was begun/,
  )
  await clock.advance(1_000)
  await refused
})

test('many that come at once cause one look', async () => {
  const { clock, server, admit } = gate(9)
  const all = Promise.allSettled(Array.from({ length: 20 }, admit))
  await clock.advance(1_000)
  const ends = await all
  expect(ends.filter(({ status }) => status === 'rejected').length).toBeGreaterThanOrEqual(19)
  expect(server.looks).toBeLessThan(10)
})

test('a look that fails is the caller’s error, and the next one looks again', async () => {
  const clock = new VirtualClock()
  const slotGate = new SlotGate('flights', clock, OPTIONS)
  await expect(
    slotGate.admit(async () => {
      throw new Error('the connection was lost')
    }),
  ).rejects.toThrow('lost')
  await slotGate.admit(async () => ({ used: 0, limit: 1 }))
})
