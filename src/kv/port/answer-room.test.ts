import { beforeEach, expect, test } from 'vitest'
import { isPending, TestClock } from '../engine/participant.support.ts'
import { AnswerRoom } from './answer-room.ts'

const MIB = 1024 * 1024

let clock: TestClock
let bytesQueued: number
let room: AnswerRoom

beforeEach(() => {
  clock = new TestClock()
  bytesQueued = 0
  room = new AnswerRoom(clock, () => bytesQueued)
})

test('reads are let in as long as the largest answers of all of them have room, and then in their order', async () => {
  const places = Array.from({ length: 8 }, () => room.place())
  const entered: number[] = []
  for (const [index, place] of places.entries()) void place.enter().then(() => entered.push(index))
  await isPending(Promise.resolve())
  expect(entered).toEqual([0, 1, 2, 3, 4])
  places[3]!.leave()
  places[3]!.leave()
  await isPending(Promise.resolve())
  expect(entered).toEqual([0, 1, 2, 3, 4, 5])
  // One leaves, and its answer waits to be sent: there is no room for another one before that has left.
  bytesQueued = 2 * MIB
  places[0]!.leave()
  await isPending(Promise.resolve())
  expect(entered).toHaveLength(6)
  bytesQueued = 0
  room.look()
  await isPending(Promise.resolve())
  expect(entered).toEqual([0, 1, 2, 3, 4, 5, 6])
  expect(clock.timers).toBe(1)
})

test('who finds no room in time is refused, and later ones are not held up by it', async () => {
  bytesQueued = 12 * MIB
  const late = room.place()
  const entering = late.enter().catch((error: unknown) => error)
  expect(await isPending(entering)).toBe(true)
  clock.advance(5_000)
  expect(await entering).toMatchObject({ code: 'KV_BUSY', retryable: true })
  late.leave()
  bytesQueued = 0
  await room.place().enter()
  expect(clock.timers).toBe(0)
})

test('nobody waits for room in a connection that has ended', async () => {
  bytesQueued = 12 * MIB
  const entering = room.place().enter()
  expect(await isPending(entering)).toBe(true)
  room.close()
  await entering
  expect(clock.timers).toBe(0)
})
