import { pointsOf } from './failpoint.ts'

const client = pointsOf('client')
const database = pointsOf('database')

/** An application that lives on may still commit, or try again. */
const EITHER = { elsewhere: 'either' } as const

/** Steps of an application at the end of a transaction. */
export const CLIENT_POINTS = {
  'client.prepare.before': client('the callback has returned, before any branch is prepared', 'abort', 'P1, P7'),
  'client.prepare.voted': client('all local branches have voted, before the coordinators are asked', 'abort', 'P5, P7'),
  'client.commit.before-send': client('before the commit request leaves', 'abort', 'P5, P7'),
  'client.commit.sent': client('the commit request has left', 'either', 'P1, P6'),
  'client.decision.heard': client('the decision is here, before phase two begins', 'decided', 'P6, P7'),
  'client.branch.before-settle': client('before phase two of one branch', 'decided', 'P7'),
  'client.branch.settled': client('one branch has ended as decided, before that is acknowledged', 'decided', 'P7'),
  'client.ack.before-send': client('before an ACK leaves', 'decided', 'P7'),
  'client.ack.sent': client('an ACK has left', 'decided', 'P7'),
  'client.one-phase.before': client('a lone branch, before its COMMIT', 'abort', 'P1, P8'),
  'client.one-phase.answered': client(
    'a lone branch was committed, before the application hears it',
    'unharmed',
    'P1, P8',
  ),
  'client.rollback.before': client('before the branches of a failed transaction are rolled back', 'abort', 'P7'),
  'client.rollback.after': client('the branches of a failed transaction are rolled back', 'abort', 'P7'),
} as const

/** Statements that end a branch in a database: whoever sends them dies, or the connection, or the server. */
export const DATABASE_POINTS = {
  'database.prepare.before-send': database(
    'before PREPARE TRANSACTION or XA PREPARE is sent',
    'abort',
    'P1, P7',
    EITHER,
  ),
  'database.prepare.sent': database('PREPARE was sent, and is not answered', 'abort', 'P5, P7', EITHER),
  'database.prepare.answered': database('PREPARE was answered', 'abort', 'P4, P5, P7', EITHER),
  'database.commit.before-send': database('before COMMIT PREPARED or XA COMMIT is sent', 'commit', 'P1, P7'),
  'database.commit.sent': database('COMMIT PREPARED or XA COMMIT was sent, and is not answered', 'commit', 'P1, P7'),
  'database.commit.answered': database('COMMIT PREPARED or XA COMMIT was answered', 'commit', 'P1, P7'),
  'database.rollback.before-send': database('before ROLLBACK PREPARED or XA ROLLBACK is sent', 'abort', 'P1, P7'),
  'database.rollback.sent': database(
    'ROLLBACK PREPARED or XA ROLLBACK was sent, and is not answered',
    'abort',
    'P1, P7',
  ),
  'database.rollback.answered': database('ROLLBACK PREPARED or XA ROLLBACK was answered', 'abort', 'P1, P7'),
  'database.one-phase.before-send': database('a lone branch, before COMMIT is sent', 'abort', 'P1, P8', EITHER),
  'database.one-phase.sent': database('a lone branch, COMMIT was sent and is not answered', 'unharmed', 'P1, P8'),
  'database.one-phase.answered': database('a lone branch, COMMIT was answered', 'unharmed', 'P1, P8'),
  'database.evidence.before-send': database('before a database is asked how a branch ended', 'decided', 'P1, P7'),
  'database.evidence.sent': database(
    'a database was asked how a branch ended, and has not answered',
    'decided',
    'P1, P7',
  ),
  'database.evidence.answered': database('a database has told how a branch ended', 'decided', 'P1, P7'),
} as const
