import { expect, test } from 'vitest'
import { Prng } from '../base/index.ts'
import { type Alarm, TimingWheel } from './timing-wheel.ts'
import { VirtualClock } from './virtual-clock.test-support.ts'

test('every alarm rings once, never early, and at most two ticks late', async () => {
  const seed = 7
  const prng = new Prng(seed)
  const clock = new VirtualClock()
  const wheel = new TimingWheel(clock, 10)
  const rung: { readonly dueMs: number; readonly atMs: number }[] = []
  let set = 0
  for (let step = 0; step < 300; step++) {
    const dueMs = clock.monotonicMs() + prng.below(500)
    wheel.set({ dueTick: undefined, ring: (atMs) => rung.push({ dueMs, atMs }) }, dueMs - clock.monotonicMs())
    set++
    if (prng.chance(0.3)) await clock.advance(prng.below(40))
  }
  await clock.advance(600)
  expect(rung, `seed ${seed}`).toHaveLength(set)
  for (const { dueMs, atMs } of rung) {
    expect(atMs).toBeGreaterThanOrEqual(dueMs)
    expect(atMs).toBeLessThanOrEqual(dueMs + 20)
  }
})

test('a cancelled alarm does not ring, even when another one of the same moment cancels it', async () => {
  const clock = new VirtualClock()
  const wheel = new TimingWheel(clock, 10)
  const rung: string[] = []
  const second: Alarm = { dueTick: undefined, ring: () => rung.push('second') }
  const first: Alarm = {
    dueTick: undefined,
    ring: () => {
      rung.push('first')
      wheel.cancel(second)
    },
  }
  wheel.set(first, 50)
  wheel.set(second, 50)
  await clock.advance(200)
  expect(rung).toEqual(['first'])
})

test('an alarm that is set again moves, and may set itself while it rings', async () => {
  const clock = new VirtualClock()
  const wheel = new TimingWheel(clock, 10)
  let rings = 0
  const alarm: Alarm = {
    dueTick: undefined,
    ring: () => {
      if (++rings < 3) wheel.set(alarm, 0)
    },
  }
  wheel.set(alarm, 20)
  wheel.set(alarm, 100)
  await clock.advance(90)
  expect(rings).toBe(0)
  await clock.advance(100)
  expect(rings).toBe(3)
})

test('an idle wheel holds no timer', async () => {
  const clock = new VirtualClock()
  const wheel = new TimingWheel(clock, 10)
  expect(clock.timers).toBe(0)
  wheel.set({ dueTick: undefined, ring: () => {} }, 20)
  expect(clock.timers).toBe(1)
  await clock.advance(100)
  expect(clock.timers).toBe(0)
})
