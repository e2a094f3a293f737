import { eventually, type TestNode } from './fleet.support.ts'
import type { ReplicaTuning } from './options.ts'

/** Snapshots come so often, and so little log stays behind them, that who is away for a moment needs one. */
export const SHORT_LOG: Partial<ReplicaTuning> = {
  segmentBytesMax: 16 * 1024,
  cacheBytesMax: 4096,
  snapshotEntries: 60,
  tailEntries: 10,
  tailBytes: 2000,
  snapshotBytes: 8000,
  snapshotChunkBytes: 4000,
  heartbeatMs: 10,
  electionTimeoutMs: 100,
}

let proposed = 0

/** Proposes `count` texts that were never proposed before, and waits until the leader has applied them or leads no more. */
export async function load(leader: TestNode, count: number): Promise<void> {
  const before = leader.recorder.applied.length
  for (let i = 0; i < count; i++) leader.propose(`p${proposed++}`.padEnd(80, '.'))
  await eventually('it is applied', () => leader.recorder.applied.length >= before + count || !leader.recorder.leads)
}

/** Loads a leader of a SHORT_LOG until it has not even the last of the present entries any more. */
export async function loadUntilCut(leader: TestNode): Promise<void> {
  const { lastIndex } = leader.replica.status().raft
  while (leader.replica.status().raft.baseIndex < lastIndex) await load(leader, 20)
}
