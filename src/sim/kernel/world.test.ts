import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { SimWorld } from './world.ts'

function world(): SimWorld {
  return new SimWorld({ seed: 1 })
}

test('all microtasks of a macrotask run before the next macrotask', async () => {
  const seen: string[] = []
  const sim = world()
  for (const name of ['a', 'b']) {
    sim.after(1, () => {
      seen.push(`${name} task`)
      void (async () => {
        for (let i = 0; i < 20; i++) await null
        process.nextTick(() => seen.push(`${name} end`))
      })()
    })
  }
  await sim.run(10)
  expect([
    ['a task', 'a end', 'b task', 'b end'],
    ['b task', 'b end', 'a task', 'a end'],
  ]).toContainEqual(seen)
})

test('time stands where the run ended, and goes on from there', async () => {
  const sim = world()
  const seen: number[] = []
  sim.after(5, () => seen.push(sim.nowMs))
  sim.after(15, () => seen.push(sim.nowMs))
  await sim.run(10)
  expect([sim.nowMs, ...seen]).toEqual([10, 5])
  await sim.run(20)
  expect([sim.nowMs, ...seen]).toEqual([20, 5, 15])
})

test('a killed process does nothing any more: no timer, no promise, no later', async () => {
  const sim = world()
  const seen: string[] = []
  const victim = sim.spawn({
    name: 'p',
    host: 'h',
    main: async ({ clock, later }) => {
      clock.every(1, () => seen.push('tick'))
      clock.after(100, () => seen.push('timer'))
      clock.after(2, () => later(() => seen.push('later')))
    },
  })
  sim.after(3.5, () => {
    seen.push('kill')
    victim.kill('killed')
  })
  await sim.run(1_000)
  expect(seen.at(-1)).toBe('kill')
  expect(seen).toContain('later')
  expect(victim.alive).toBe(false)
})

test('a paused process gets everything when it goes on: timers first, in order', async () => {
  const sim = world()
  const seen: string[] = []
  const sleeper = sim.spawn({
    name: 'p',
    host: 'h',
    main: ({ clock }) => {
      clock.after(10, () => seen.push('10'))
      clock.after(20, () => seen.push('20'))
      clock.after(200, () => seen.push('200'))
    },
  })
  sim.after(5, () => sleeper.pause())
  sim.after(6, () => sim.dispatch(sleeper, () => seen.push('message')))
  sim.after(100, () => {
    seen.push('resume')
    sleeper.resume()
  })
  await sim.run(1_000)
  expect(seen).toEqual(['resume', '10', '20', 'message', '200'])
})

test('a timer that was cancelled while its process was paused does not fire', async () => {
  const sim = world()
  const seen: string[] = []
  const sleeper = sim.spawn({
    name: 'p',
    host: 'h',
    main: ({ clock }) => {
      clock.after(10, () => clock.cancel(second))
      const second = clock.after(20, () => seen.push('fired'))
    },
  })
  sim.after(5, () => sleeper.pause())
  sim.after(100, () => sleeper.resume())
  await sim.run(1_000)
  expect(seen).toEqual([])
})

test('clocks run at their own rate, and only the wall clock jumps', async () => {
  const sim = world()
  const readings: number[] = []
  const fast = sim.spawn({
    name: 'fast',
    host: 'h',
    clock: { rate: 2, wallOffsetMs: 500 },
    main: ({ clock }) => {
      const wallMs = clock.wallMs()
      clock.after(100, () => readings.push(sim.nowMs, clock.monotonicMs(), clock.wallMs() - wallMs))
      clock.after(200, () => readings.push(clock.monotonicMs(), clock.wallMs() - wallMs))
    },
  })
  sim.after(60, () => fast.jumpWall(-1_000))
  await sim.run(1_000)
  expect(readings).toEqual([50, 100, 100, 200, -800])
})

test.each([
  ['Date.now', () => Date.now()],
  ['Math.random', () => Math.random()],
  ['performance.now', () => performance.now()],
  ['setTimeout', () => setTimeout(() => {}, 1)],
  ['setImmediate', () => setImmediate(() => {})],
  ['AbortSignal.timeout', () => AbortSignal.timeout(1)],
  ['crypto.randomBytes', () => randomBytes(1)],
])('%s inside the world ends the run as failed, even when the error is caught', async (name, leak) => {
  const sim = world()
  sim.after(1, () => {
    try {
      leak()
    } catch {
      // Somebody who shrugs it off.
    }
  })
  await sim.run(10)
  expect(sim.failure?.what).toContain(name)
  // Outside it works as ever.
  expect(() => leak()).not.toThrow()
})

test('a connection that breaks while its answer is on the way is refused, not handed over', async () => {
  const sim = world()
  const seen: string[] = []
  sim.spawn({
    name: 'server',
    host: 's',
    main: ({ channels }) => channels.listen('there', () => seen.push('accepted')),
  })
  sim.spawn({
    name: 'client',
    host: 'c',
    main: async ({ channels }) => {
      await channels.connect('there').catch((error: Error) => seen.push(error.message))
    },
  })
  sim.weather.block('s', 'c')
  sim.after(50, () => sim.weather.reset('s', 'c'))
  sim.after(100, () => sim.weather.heal())
  await sim.run(5_000)
  expect(seen).toEqual(['accepted', 'connect ECONNRESET there'])
})

test('what escapes from a macrotask, a microtask or a promise fails the run, unless its process is dead', async () => {
  for (const burst of [
    () => {
      throw new Error('boom')
    },
    () =>
      queueMicrotask(() => {
        throw new Error('boom')
      }),
    () => void Promise.reject(new Error('boom')),
  ]) {
    const sim = world()
    sim.spawn({ name: 'p', host: 'h', main: ({ clock }) => void clock.after(1, burst) })
    await sim.run(10)
    expect(sim.failure?.check).toBe('uncaught')
    const other = world()
    other.spawn({
      name: 'p',
      host: 'h',
      main: (process) =>
        void process.clock.after(1, () => {
          process.kill('killed')
          burst()
        }),
    })
    await other.run(10)
    expect(other.failure).toBeUndefined()
  }
})

test('a name gives the same random numbers for one seed, and drawing from one stream changes no other', () => {
  const [a, b] = [world(), world()]
  a.random('x').uint32()
  expect(a.random('y').uint32()).toBe(b.random('y').uint32())
  expect(new SimWorld({ seed: 2 }).random('x').uint32()).not.toBe(b.random('x').uint32())
})
