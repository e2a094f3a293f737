import fc from 'fast-check'
import { expect, test } from 'vitest'
import { drawFrom, settle, TextLog } from './fixture.support.ts'
import type { Position } from './format.ts'
import { MemoryDisk } from './memory-disk.ts'

type Step =
  | { readonly kind: 'append'; readonly sizes: readonly number[]; readonly wait: boolean }
  | { readonly kind: 'idle' }
  | { readonly kind: 'remove'; readonly part: number; readonly wait: boolean }
  | { readonly kind: 'restart'; readonly how: 'close' | 'kill' | 'crash'; readonly seed: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      sizes: fc.array(fc.integer({ min: 0, max: 2500 }), { maxLength: 4 }),
      wait: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'idle' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('remove' as const),
      part: fc.double({ min: 0, max: 1, noNaN: true }),
      wait: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('restart' as const),
      how: fc.constantFrom('close' as const, 'kill' as const, 'crash' as const),
      seed: fc.nat(),
    }),
  },
)

/** What must be true of a log, whatever was done to it: a model beside the real one. */
class Model {
  #disk = new MemoryDisk()
  #log: TextLog | undefined
  /** Records in the log's order since its beginning, also those that were removed. */
  #written: string[] = []
  #positions: Position[] = []
  #surviving = 0
  /** Records from here on may not be removed; those before may be there or not. */
  #needed = 0
  #named = 0

  async open(): Promise<void> {
    const positions: Position[] = []
    const log = await TextLog.open(this.#disk, {}, (position) => positions.push(position))
    const begin = positions.length === 0 ? this.#surviving : this.#positions.indexOf(positions[0]!)
    expect(begin).toBeGreaterThanOrEqual(0)
    expect(begin).toBeLessThanOrEqual(this.#needed)
    const end = begin + log.replayed.length
    expect(log.replayed).toEqual(this.#written.slice(begin, end))
    expect(positions).toEqual(this.#positions.slice(begin, end))
    expect(end).toBeGreaterThanOrEqual(this.#surviving)
    this.#log = log
    this.#written.length = end
    this.#positions.length = end
    this.#surviving = end
    this.#needed = Math.min(this.#needed, end)
  }

  async run(step: Step): Promise<void> {
    const log = this.#log!
    if (step.kind === 'append') {
      const texts = step.sizes.map((size) => `${this.#named++}`.padEnd(size, '-'))
      const { positions, done } = log.place(...texts)
      this.#written.push(...texts)
      this.#positions.push(...positions)
      if (step.wait) await done
    } else if (step.kind === 'remove') {
      const first = Math.floor(step.part * this.#positions.length)
      if (first === this.#positions.length) return
      this.#needed = Math.max(this.#needed, first)
      const done = log.wal.removeBefore(this.#positions[first]!)
      done.catch(() => undefined)
      if (step.wait) await done
    } else if (step.kind === 'idle') {
      await settle()
      log.clock.advance(1000)
      await settle()
    } else {
      await this.#restart(step.how, step.seed)
    }
  }

  async #restart(how: 'close' | 'kill' | 'crash', seed: number): Promise<void> {
    const log = this.#log!
    if (how === 'close') await log.wal.close()
    this.#surviving += log.durable.length
    if (how === 'close') expect(this.#surviving).toBe(this.#written.length)
    if (how === 'kill') this.#disk = this.#disk.kill()
    if (how === 'crash') this.#disk = this.#disk.crash(drawFrom(seed))
    await this.open()
  }
}

test('whatever is appended, closed, killed and crashed: what was acknowledged is there, in order, and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      const model = new Model()
      await model.open()
      for (const step of steps) await model.run(step)
      await model.run({ kind: 'restart', how: 'crash', seed: 1 })
    }),
    { numRuns: 300, seed: 20_240 },
  )
}, 60_000)
