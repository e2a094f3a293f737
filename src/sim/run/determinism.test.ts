import { expect, test } from 'vitest'
import { WorkerPool } from '../campaign/worker-pool.ts'
import { planOf } from '../faults/plan.ts'
import { simulate } from './simulation.ts'

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8]

async function fingerprint(seed: number): Promise<string> {
  const { hash, steps, simulatedMs } = await simulate(planOf(seed))
  return `${hash} ${steps} ${simulatedMs}`
}

/** Seconds on an idle machine; many times as long beside other work. */
const PATIENCE_MS = 600_000

test('one seed decides everything: twice the same run, and different seeds differ', {
  timeout: PATIENCE_MS,
}, async () => {
  const first: string[] = []
  for (const seed of SEEDS) first.push(await fingerprint(seed))
  // In another order, so that nothing left over from an earlier run can help.
  const second: string[] = []
  for (const seed of SEEDS.toReversed()) second.unshift(await fingerprint(seed))
  expect(second).toEqual(first)
  expect(new Set(first).size).toBe(SEEDS.length)
})

test('other processes come to the same, whatever ran in them before', { timeout: PATIENCE_MS }, async () => {
  const here = new Map<number, string>()
  for (const seed of SEEDS) here.set(seed, await fingerprint(seed))
  const pool = new WorkerPool(2, ['--import', 'ts-blank-space/register'])
  const waiting = [...SEEDS, ...SEEDS.toReversed()]
  try {
    await pool.run(
      () => {
        const seed = waiting.shift()
        return seed === undefined ? undefined : { seed, overrides: {} }
      },
      (answer) => {
        if (answer.kind === 'broken') throw new Error(answer.error)
        const { seed, hash, steps, simulatedMs } = answer.report
        expect(`${hash} ${steps} ${simulatedMs}`).toBe(here.get(seed))
      },
    )
  } finally {
    pool.close()
  }
})

test('participants take everything from the seed as well', { timeout: PATIENCE_MS }, async () => {
  const first = await simulate(planOf(4, 'participants'))
  await fingerprint(1)
  expect(await simulate(planOf(4, 'participants'))).toEqual(first)
})

test('listening to the story changes nothing', { timeout: PATIENCE_MS }, async () => {
  const notes: string[] = []
  const { hash } = await simulate(planOf(3), { onNote: ({ what }) => notes.push(what) })
  expect(notes.length).toBeGreaterThan(10)
  expect(hash).toBe((await fingerprint(3)).split(' ')[0])
})
