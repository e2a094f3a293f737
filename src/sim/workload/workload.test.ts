import { describe, expect, test } from 'vitest'
import { planOf } from '../faults/plan.ts'
import { type RunReport, simulate } from '../run/simulation.ts'

/** A run of `kind` in which nothing goes wrong but what the workload does itself. */
function quietly(seed: number, kind: 'bank' | 'raw', noted: string[] = []): Promise<RunReport> {
  const plan = planOf(seed)
  const workload = { kind, applications: 2, transactions: 60, durationMs: 4_000 }
  return simulate(
    { ...plan, faults: [], faultsMs: 4_000, workload },
    { onNote: ({ actor, what }) => noted.push(`${actor} ${what}`) },
  )
}

describe.each(['bank', 'raw'] as const)('the %s workload', (kind) => {
  test('comes to rest in a world without faults, with most of its work committed', async () => {
    for (const seed of [1, 3, 7]) {
      const { failure, tally } = await quietly(seed, kind)
      expect(failure, `seed ${seed}`).toBeUndefined()
      expect(tally.committed, `seed ${seed}`).toBeGreaterThan(20)
    }
  })

  test('is decided by its seed alone', async () => {
    const [first, again, other] = [await quietly(5, kind), await quietly(5, kind), await quietly(6, kind)]
    expect(again).toEqual(first)
    expect(other.hash).not.toBe(first.hash)
  })
})

test('the raw workload asks participants, contradicts itself and asks what became of it', async () => {
  const notes: string[] = []
  await quietly(3, 'raw', notes)
  for (const what of ['votes readOnly', 'votes abort', 'is told to commit', 'TXN_OTHER_BRANCHES', 'asks to abort']) {
    expect(
      notes.some((note) => note.includes(what)),
      what,
    ).toBe(true)
  }
})
