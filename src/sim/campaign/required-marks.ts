import type { CampaignState } from './campaign.ts'

/** Below so many runs a campaign is a look, and nothing is asked of it. */
const RUNS_MIN = 300

/** Rare branches: a campaign that never reaches one of them proves nothing about it, and fails as too weak. */
export const REQUIRED_MARKS: readonly string[] = [
  'application: aborted, presumed',
  'bits rotted',
  'came back in doubt',
  'conflicting suffix replaced',
  'database: answer lost after the effect',
  'fatal WAL_FAILED',
  'fault blackout',
  'fault crash',
  'fault crashAt',
  'fault partition',
  'fault pause',
  'leadership transferred',
  'ledger restored from a snapshot',
  'mariadb: a prepared branch outlives its session',
  'mariadb: prepared branches survive a crash',
  'member removed',
  'postgres: prepared branch is busy (55000)',
  'postgres: prepared branches survive a crash',
  'snapshot sent',
  'snapshot taken',
  'write misdirected',
]

/** What a campaign should have reached and has not. */
export function missingMarks({ runs, marks }: Pick<CampaignState, 'runs' | 'marks'>): readonly string[] {
  return runs < RUNS_MIN ? [] : REQUIRED_MARKS.filter((name) => !marks.has(name))
}
