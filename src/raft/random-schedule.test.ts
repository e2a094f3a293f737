import { expect, test } from 'vitest'
import { Schedule } from './testing/schedule.ts'

const SCHEDULES = Number(process.env.CONCORDAT_SCHEDULES ?? 2500)
const STEPS = 600
/** Seeds that failed once; they stay. */
const REGRESSIONS: readonly number[] = [2_362, 21_550, 23_844, 25_348, 25_621, 27_926]

function runSchedule(seed: number): Schedule {
  const schedule = new Schedule(seed)
  try {
    schedule.run(STEPS)
    schedule.heal()
    // What healed has a history: nodes that were rebuilt, ids that are retired, logs that begin late.
    schedule.run(STEPS / 4)
    schedule.heal()
  } catch (cause) {
    throw new Error(`schedule ${seed} failed: ${(cause as Error).message}`, { cause })
  }
  return schedule
}

test.each(REGRESSIONS)('schedule %i, which failed once, holds', (seed) => {
  runSchedule(seed)
})

test(`every safety property holds after each step of ${SCHEDULES} random schedules, and the group is live afterwards`, () => {
  const marks = new Map<string, number>()
  for (let seed = 1; seed <= SCHEDULES; seed++) {
    for (const [name, count] of runSchedule(seed).world.checks.marks) marks.set(name, (marks.get(name) ?? 0) + count)
  }
  // A schedule proves nothing about what never happens in it.
  for (const name of [
    'leader',
    'truncated',
    'stripped',
    'load',
    'oldTermEntriesSent',
    'readReady',
    'leadershipLost',
    'backPressure',
    'commitIndexRecovered',
    'readForwarded',
    'transferring',
    'transfer: timeout',
    'compacted',
    'crashedTaking: compact',
    'crashedTaking: remove',
    'sendSnapshot',
    'snapshotInstalled',
    'simple',
    'joint',
    'damaged',
    'doubtCleared',
    'forgottenVote',
    'forgottenLeader',
    'change: notCaughtUp',
    'change: changePending',
    'change: notServing',
    'change: transferring',
  ]) {
    expect(marks.get(name) ?? 0, `how often "${name}" happened`).toBeGreaterThan(SCHEDULES / 100)
  }
  for (const name of ['crashedBeforeInstall', 'crashedAfterInstall', 'snapshotRejected', 'chunkGap', 'wordOfCommit']) {
    expect(marks.get(name) ?? 0, `how often "${name}" happened`).toBeGreaterThan(SCHEDULES / 2000)
  }
}, 600_000)
