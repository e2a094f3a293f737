import { expect, test } from 'vitest'
import { planOf } from '../faults/plan.ts'
import { simulate } from '../run/simulation.ts'
import { replayCommand } from '../shrink/story.ts'
import { FAILED_SEEDS } from './failed-seeds.ts'

/** Seeds of the fixed set: 1 to this, and those that once failed. */
const FIXED_SEEDS = 500
/** Files among which the set is spread, so that test workers share it. */
const SHARDS = 4

/** The tests of one shard, 0 to 3. */
export function testShard(shard: number): void {
  const seeds = [...range(FIXED_SEEDS), ...FAILED_SEEDS.map(({ seed }) => seed)]
  const mine = seeds.filter((_, i) => i % SHARDS === shard)
  test(`no fault of ${mine.length} seeds breaks a promise`, { timeout: 900_000 }, async () => {
    const broken: string[] = []
    for (const seed of mine) {
      const { failure } = await simulate(planOf(seed))
      if (failure !== undefined) broken.push(`${failure.check}: ${failure.what}\n  ${replayCommand(seed)}`)
    }
    expect(broken.join('\n')).toBe('')
  })
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1)
}
