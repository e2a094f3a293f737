import { expect, test } from 'vitest'
import { Prng } from '../base/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { eventually, Fleet, type TestNode } from './fleet.support.ts'

/** Crashes of one run; each tears whatever its disk had under way. */
const CRASHES = 12

/** Snapshots every few entries, so that crashes meet them being taken, sent and installed. */
const SNAPSHOTS = {
  snapshotEntries: 40,
  tailEntries: 10,
  tailBytes: 2000,
  snapshotBytes: 8000,
  snapshotChunkBytes: 500,
}

test.each([
  { seed: 1, snapshots: {} },
  { seed: 2, snapshots: {} },
  { seed: 3, snapshots: SNAPSHOTS },
  { seed: 4, snapshots: SNAPSHOTS },
  { seed: 5, snapshots: SNAPSHOTS },
  { seed: 6, snapshots: SNAPSHOTS },
])('crashes at random places lose nothing that any node applied ($seed, $snapshots)', async ({ seed, snapshots }) => {
  const prng = new Prng(seed)
  // A write takes a moment, so that a crash finds some under way.
  const slow = { delayWrite: (complete: () => void) => void setTimeout(complete, 1) }
  const timing = { heartbeatMs: 20, electionTimeoutMs: 120 }
  const tuning = { ...timing, segmentBytesMax: 16 * 1024, cacheBytesMax: 8192, ...snapshots }
  const fleet = new Fleet({ tuning, newDisk: () => new MemoryDisk(slow) })
  const history = new History()
  let proposals = 0

  const proposeSome = async (leader: TestNode): Promise<void> => {
    const count = prng.between(1, 60)
    for (let i = 0; i < count && leader.recorder.leads; i++) {
      leader.replica.propose(Buffer.from(`p${proposals++}`.padEnd(prng.between(8, 400), '.')))
      if (prng.chance(0.2)) await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }
  const crash = async (node: TestNode): Promise<void> => {
    await fleet.crash(node.nodeId, (bound) => prng.below(bound), slow)
    history.check(node)
  }

  try {
    await fleet.start()
    for (let round = 0; round < CRASHES; round++) {
      const leader = await fleet.leader()
      await proposeSome(leader)
      const victim = prng.chance(0.5) ? leader : prng.pick(fleet.running)
      await crash(victim)
      // Sometimes a second one, or all: then nobody is left who could know better.
      if (prng.chance(0.3)) for (const node of fleet.running.slice(prng.below(2))) await crash(node)
      const away = fleet.members.map(({ nodeId }) => nodeId).filter((nodeId) => !fleet.nodes.has(nodeId))
      await fleet.start(...away)
    }
    const last = await fleet.leader()
    last.propose('the end')
    await eventually('all applied the end', () =>
      fleet.running.every(({ recorder }) => recorder.applied.at(-1) === 'the end'),
    )
    for (const node of fleet.running) history.check(node)
    expect(history.longest.length).toBeGreaterThan(1)
    for (const { recorder } of fleet.running) expect(recorder.applied).toEqual(history.longest)
    expect(fleet.running.flatMap(({ fatal }) => fatal)).toEqual([])
  } finally {
    await fleet.stopAll()
  }
})

/** State machine safety (Figure 3) over all nodes and all their lives: what was applied at a place stays the same. */
class History {
  longest: readonly string[] = []

  check({ recorder: { applied } }: TestNode): void {
    const common = Math.min(applied.length, this.longest.length)
    expect(applied.slice(0, common)).toEqual(this.longest.slice(0, common))
    if (applied.length > this.longest.length) this.longest = [...applied]
  }
}
