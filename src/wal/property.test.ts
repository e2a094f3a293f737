import fc from 'fast-check'
import { expect, test } from 'vitest'
import { drawFrom, settle, TextLog } from './fixture.support.ts'
import { MemoryDisk } from './memory-disk.ts'

type Step =
  | { readonly kind: 'append'; readonly sizes: readonly number[]; readonly wait: boolean }
  | { readonly kind: 'idle' }
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
  /** Records in the log's order: those replayed at the last open, then those appended since. */
  #written: string[] = []
  #surviving = 0
  #named = 0

  async open(): Promise<void> {
    const log = await TextLog.open(this.#disk)
    expect(log.replayed).toEqual(this.#written.slice(0, log.replayed.length))
    expect(log.replayed.length).toBeGreaterThanOrEqual(this.#surviving)
    this.#log = log
    this.#written = [...log.replayed]
    this.#surviving = log.replayed.length
  }

  async run(step: Step): Promise<void> {
    const log = this.#log!
    if (step.kind === 'append') {
      const texts = step.sizes.map((size) => `${this.#named++}`.padEnd(size, '-'))
      const { done } = log.place(...texts)
      this.#written.push(...texts)
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
