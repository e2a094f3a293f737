import { describe, expect, test } from 'vitest'
import { planOf } from '../faults/plan.ts'
import { type RunReport, simulate } from '../run/simulation.ts'

/** Begun in each run. */
const TRANSACTIONS = 60

/** A run of `kind` in which nothing goes wrong but what the workload does itself. */
function quietly(seed: number, kind: 'bank' | 'raw', noted: string[] = []): Promise<RunReport> {
  const plan = planOf(seed)
  const workload = { kind, applications: 2, transactions: TRANSACTIONS, durationMs: 4_000 }
  return simulate(
    { ...plan, faults: [], faultsMs: 4_000, workload },
    { onNote: ({ actor, what }) => noted.push(`${actor} ${what}`) },
  )
}

describe.each(['bank', 'raw'] as const)('the %s workload', (kind) => {
  test('comes to rest in a world without faults, with most of its work committed', async () => {
    // Some seeds draw few accounts and slow databases, and lose most of their work to each other: all count together.
    const seeds = [1, 2, 3, 4, 5, 6]
    let committed = 0
    for (const seed of seeds) {
      const { failure, tally } = await quietly(seed, kind)
      expect(failure, `seed ${seed}`).toBeUndefined()
      expect(tally.committed, `seed ${seed}`).toBeGreaterThan(0)
      committed += tally.committed ?? 0
    }
    expect(committed).toBeGreaterThan((seeds.length * TRANSACTIONS) / 2)
  })

  test('is decided by its seed alone', async () => {
    const [first, again, other] = [await quietly(5, kind), await quietly(5, kind), await quietly(6, kind)]
    expect(again).toEqual(first)
    expect(other.hash).not.toBe(first.hash)
  })
})

/** Seconds on an idle machine; many times as long beside other work. */
const PATIENCE_MS = 600_000

test('in a world without faults a bank over databases, stores and services commits, and audits see all of it', {
  timeout: PATIENCE_MS,
}, async () => {
  let committed = 0
  let audits = 0
  for (const seed of [2, 3, 5]) {
    const { failure, tally } = await simulate({ ...planOf(seed, 'participants'), faults: [] })
    expect(failure, `seed ${seed}`).toBeUndefined()
    committed += tally.committed ?? 0
    audits += tally.audits ?? 0
  }
  expect(committed).toBeGreaterThan(60)
  expect(audits).toBeGreaterThan(3)
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
