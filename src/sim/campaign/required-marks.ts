import type { Profile } from '../faults/plan.ts'
import type { CampaignState } from './campaign.ts'

/** Below so many runs a campaign is a look, and nothing is asked of it. */
const RUNS_MIN = 300

/** Rare branches: a campaign that never reaches one of them proves nothing about it, and fails as too weak. */
const DATABASE_MARKS: readonly string[] = [
  'ambush: change',
  'ambush: chunk',
  'ambush: doubt',
  'ambush: elected',
  'ambush: install',
  'ambush: joint',
  'ambush: vote',
  'application: aborted, presumed',
  'application: asks about what an earlier run began',
  'application: dies at work, killed',
  'application: dies at work, power',
  'bits rotted',
  'came back in doubt',
  'change refused: notCaughtUp',
  'conflicting suffix replaced',
  'database: a client fell silent for ever',
  'database: an administrator ends a prepared branch, aborted',
  'database: an administrator ends a prepared branch, committed',
  'database: answer lost after the effect',
  'database: connection lost before the statement',
  'database: its client went away in the middle of a statement',
  'database: session ended by an administrator',
  'dead member replaced',
  'doubtful node rebuilt',
  'entries read back from disk',
  'entries refused: they do not fit',
  'fatal EIO',
  'fatal WAL_FAILED',
  'fault bitFlip',
  'fault blackout',
  'fault crash',
  'fault crashAt',
  'fault partition',
  'fault pause',
  'fault splitJoint',
  'fault upgrade',
  'fault wallJump',
  'fault weather',
  'forwarded read refused',
  'joint change left',
  'leadership transferred',
  'ledger restored from a snapshot',
  'mariadb: a branch lost its session between XA END and XA PREPARE',
  'mariadb: a branch that wrote nothing lost its session (1402)',
  'mariadb: a prepared branch outlives its session',
  'mariadb: lock wait timeout rolls back the statement alone (1205)',
  'mariadb: prepared branches survive a crash',
  'member removed',
  'member swapped',
  'participant: an abort comes before its PREPARE',
  'participant: asks, being in doubt',
  'postgres: no slot left for a prepared branch (53200)',
  'postgres: prepared branch is busy (55000)',
  'postgres: prepared branches survive a crash',
  'pre-vote refused',
  'proposal refused: notLeader',
  'read forwarded',
  'snapshot installed',
  'snapshot sent',
  'snapshot taken',
  'told to campaign at once',
  'transfer failed: timeout',
  'vote refused',
  'write misdirected',
]

/** The same where participants take part. */
const PARTICIPANT_MARKS: readonly string[] = [
  'http: badGateway',
  'http: twice',
  'http: votes commit',
  'kv: opens with branches in doubt',
  'kv: votes commit',
  'kv: votes readOnly',
  'participant: dies when it has voted, killed',
  'participant: dies when it has voted, power',
  'participant: fatal WAL_FAILED',
  'participant: stops in good order',
  'service: opens with branches in its journal',
  'service: votes commit',
  'service: votes readOnly',
]

/** What a campaign should have reached and has not. @param profile the only one that it ran; undefined: all */
export function missingMarks(
  { runs, marks }: Pick<CampaignState, 'runs' | 'marks'>,
  profile?: Profile | undefined,
): readonly string[] {
  if (runs < RUNS_MIN) return []
  const databases = profile === 'participants' ? [] : DATABASE_MARKS
  const participants = profile === 'databases' ? [] : PARTICIPANT_MARKS
  return [...databases, ...participants].filter((name) => !marks.has(name))
}
