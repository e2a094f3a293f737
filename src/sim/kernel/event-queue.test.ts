import { expect, test } from 'vitest'
import { Prng } from '../../base/index.ts'
import { EventQueue } from './event-queue.ts'

function drain(queue: EventQueue<string>, untilMs = Number.POSITIVE_INFINITY): string[] {
  const owners: string[] = []
  for (let event = queue.takeDue(untilMs); event !== undefined; event = queue.takeDue(untilMs)) owners.push(event.owner)
  return owners
}

test('events come by time, then by tie, then in the order of their coming', () => {
  const queue = new EventQueue<string>()
  queue.add(2, 0, 'c', () => {})
  queue.add(1, 5, 'b2', () => {})
  queue.add(1, 3, 'b1', () => {})
  queue.add(2, 0, 'd', () => {})
  queue.add(0, 9, 'a', () => {})
  expect(drain(queue)).toEqual(['a', 'b1', 'b2', 'c', 'd'])
})

test('what is not due stays, and keeps its place', () => {
  const queue = new EventQueue<string>()
  queue.add(3, 0, 'late 1', () => {})
  queue.add(3, 0, 'late 2', () => {})
  queue.add(1, 0, 'early', () => {})
  expect(drain(queue, 2)).toEqual(['early'])
  expect(drain(queue, 3)).toEqual(['late 1', 'late 2'])
})

test('a cancelled event never comes', () => {
  const queue = new EventQueue<string>()
  queue.add(1, 0, 'cancelled', () => {}).task = undefined
  queue.add(2, 0, 'kept', () => {})
  expect(drain(queue)).toEqual(['kept'])
})

test('many events in any order come out sorted', () => {
  const prng = new Prng(1)
  const queue = new EventQueue<string>()
  const times = Array.from({ length: 2_000 }, () => prng.below(500))
  for (const at of times) queue.add(at, 0, String(at), () => {})
  expect(drain(queue).map(Number)).toEqual(times.toSorted((a, b) => a - b))
})
