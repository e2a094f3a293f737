import { expect, test } from 'vitest'
import { planOf } from '../faults/plan.ts'
import { simulate } from '../run/simulation.ts'
import { replayCommand } from '../shrink/story.ts'
import { FAILED_PARTICIPANT_SEEDS } from './failed-seeds.ts'

/** Seeds of the fixed set: 1 to this, and those that once failed. */
const FIXED_SEEDS = 20

test('P1, P3, P4, P7: no fault of the participants’ seeds breaks a promise, and every audit sees the whole', {
  timeout: 900_000,
}, async () => {
  const seeds = Array.from({ length: FIXED_SEEDS }, (_, index) => index + 1)
  const broken: string[] = []
  let audits = 0
  for (const seed of [...seeds, ...FAILED_PARTICIPANT_SEEDS.map(({ seed }) => seed)]) {
    const { failure, tally } = await simulate(planOf(seed, 'participants'))
    audits += tally.audits ?? 0
    if (failure === undefined) continue
    broken.push(`${failure.check}: ${failure.what}\n  ${replayCommand(seed, { profile: 'participants' })}`)
  }
  expect(broken.join('\n')).toBe('')
  expect(audits).toBeGreaterThan(10)
})
