import { expect, test } from 'vitest'
import type { Clock } from '../base/index.ts'
import { Ticker } from './ticker.ts'

/** A clock whose one timer fires when the test says so, as late as it likes. */
function lateClock(): { clock: Clock; fireAt: (ms: number) => void; timers: () => number } {
  let now = 0
  let task: (() => void) | undefined
  const clock: Clock = {
    monotonicMs: () => now,
    wallMs: () => 0,
    after: () => {
      throw new Error('not used')
    },
    every: (_, every) => {
      task = every
      return { timer: undefined }
    },
    cancel: () => {
      task = undefined
    },
  }
  const fireAt = (ms: number) => {
    now = ms
    task?.()
  }
  return { clock, fireAt, timers: () => (task === undefined ? 0 : 1) }
}

function ticksAt(...times: number[]): number[] {
  const { clock, fireAt } = lateClock()
  const counts: number[] = []
  new Ticker(clock, 10, 5, (ticks) => counts.push(ticks))
  for (const time of times) fireAt(time)
  return counts
}

test('each period is a tick, and what a late timer missed is made up for', () => {
  expect(ticksAt(10, 20, 45, 50)).toEqual([1, 1, 2, 1])
})

test('a timer that fires too early ticks nothing', () => {
  expect(ticksAt(9, 10)).toEqual([1])
})

test('after a long stop of the process only a few ticks come, not all that were missed', () => {
  expect(ticksAt(10, 60_000, 60_010)).toEqual([1, 5, 1])
})

test('a stopped ticker has no timer', () => {
  const { clock, timers } = lateClock()
  const ticker = new Ticker(clock, 10, 5, () => {})
  expect(timers()).toBe(1)
  ticker.stop()
  expect(timers()).toBe(0)
})
