import type { CampaignState } from './campaign.ts'

/** Below so many runs a campaign is a look, and nothing is asked of it. */
const RUNS_MIN = 300

/** Rare branches: a campaign that never reaches one of them proves nothing about it, and fails as too weak. */
export const REQUIRED_MARKS: readonly string[] = [
  'conflicting suffix replaced',
  'fatal WAL_FAILED',
  'fault blackout',
  'fault crash',
  'fault crashInDisk',
  'fault partition',
  'fault pause',
]

/** What a campaign should have reached and has not. */
export function missingMarks({ runs, marks }: Pick<CampaignState, 'runs' | 'marks'>): readonly string[] {
  return runs < RUNS_MIN ? [] : REQUIRED_MARKS.filter((name) => !marks.has(name))
}
