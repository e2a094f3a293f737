import { expect, test } from 'vitest'
import { parseNodeId } from '../base/index.ts'
import type { LogIndex, RaftStatus } from '../raft/index.ts'
import { type CompactionView, compactionPoint } from './compaction.ts'

type Follower = RaftStatus['followers'][number]

function follower(nodeId: number, matchIndex: number, more: Partial<Follower> = {}): Follower {
  return {
    nodeId: parseNodeId(nodeId),
    matchIndex: matchIndex as LogIndex,
    nextIndex: (matchIndex + 1) as LogIndex,
    state: 'replicate',
    recentlyActive: true,
    doubtful: false,
    ...more,
  }
}

/** A log in which each entry takes ten bytes. */
const storage = {
  firstWithin: (to: LogIndex, bytesMax: number) => Math.max(1, to - Math.floor(bytesMax / 10) + 1) as LogIndex,
}
const tuning = { tailBytes: 1000, tailEntries: 50, snapshotBytes: 3000 }

function pointOf(index: number, more: Partial<CompactionView> = {}): number {
  return compactionPoint(index as LogIndex, { storage, tuning, followers: [], sending: [], ...more })
}

test('a tail stays that is within both bounds', () => {
  expect(pointOf(1000)).toBe(950)
  expect(pointOf(1000, { tuning: { ...tuning, tailEntries: 500 } })).toBe(900)
  expect(pointOf(30)).toBe(0)
})

test('without a tail the log ends where the snapshot does', () => {
  expect(pointOf(1000, { tuning: { ...tuning, tailEntries: 0 } })).toBe(1000)
})

test('what an active follower still needs stays, up to the log of one more snapshot', () => {
  expect(pointOf(1000, { followers: [follower(2, 990), follower(3, 800)] })).toBe(800)
  expect(pointOf(1000, { followers: [follower(2, 990), follower(3, 100)] })).toBe(600)
})

test('a follower that is away, or needs a snapshot in any case, holds nothing back', () => {
  const away = follower(3, 10, { recentlyActive: false })
  const needsSnapshot = follower(4, 20, { state: 'snapshot' })
  expect(pointOf(1000, { followers: [away, needsSnapshot] })).toBe(950)
})

test('what follows a snapshot that is being sent stays, up to the log of one more snapshot', () => {
  expect(pointOf(1000, { sending: [700 as LogIndex] })).toBe(700)
  expect(pointOf(1000, { sending: [100 as LogIndex] })).toBe(600)
})

test('nothing behind the snapshot is ever cut', () => {
  for (let index = 0; index < 300; index += 7) {
    for (const tailEntries of [0, 5, 1000]) {
      const point = pointOf(index, { tuning: { ...tuning, tailEntries }, followers: [follower(2, 5000)] })
      expect(point).toBeGreaterThanOrEqual(0)
      expect(point).toBeLessThanOrEqual(index)
    }
  }
})
