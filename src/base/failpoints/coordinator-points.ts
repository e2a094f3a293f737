import { pointsOf } from './failpoint.ts'

const point = pointsOf('coordinator')

/** Records, messages and acknowledgements of whoever plays the coordinator: the Raft leader. */
export const COORDINATOR_POINTS = {
  'coordinator.request.received': point('a commit request is here; nothing was done with it', 'either', 'P1, P8'),

  'coordinator.prepared.before-propose': point('before the record `prepared` is handed to the log', 'either', 'P1, P8'),
  'coordinator.prepared.proposed': point('the log has taken `prepared`, in memory', 'either', 'P1, P8'),
  'coordinator.prepared.before-apply': point(
    '`prepared` is on disk at a quorum, before it is applied',
    'either',
    'P1, P6',
  ),
  'coordinator.prepared.applied': point('`prepared` is applied at the leader, which gathers votes', 'either', 'P1, P6'),

  'coordinator.commit.before-propose': point('before the record `commit` is handed to the log', 'either', 'P1, P3, P8'),
  'coordinator.commit.proposed': point('the log has taken `commit`, in memory', 'either', 'P1, P3, P8'),
  'coordinator.commit.before-apply': point('`commit` is on disk at a quorum, before it is applied', 'commit', 'P2, P3'),
  'coordinator.commit.applied': point(
    '`commit` is applied at the leader: answer and orders have left',
    'commit',
    'P2, P3',
  ),

  'coordinator.aborted.before-propose': point('before the record `aborted` is handed to the log', 'either', 'P1, P5'),
  'coordinator.aborted.proposed': point('the log has taken `aborted`, in memory', 'either', 'P1, P5'),
  'coordinator.aborted.before-apply': point(
    '`aborted` is on disk at a quorum, before it is applied',
    'abort',
    'P2, P5',
  ),
  'coordinator.aborted.applied': point(
    '`aborted` is applied at the leader: answer and orders have left',
    'abort',
    'P2, P5',
  ),

  'coordinator.completed.before-propose': point('before the record `completed` is handed to the log', 'unharmed', 'P7'),
  'coordinator.completed.proposed': point('the log has taken `completed`, in memory', 'unharmed', 'P7'),
  'coordinator.completed.before-apply': point(
    '`completed` is on disk at a quorum, before it is applied',
    'unharmed',
    'P7',
  ),
  'coordinator.completed.applied': point('`completed` is applied at the leader', 'unharmed', 'P7'),

  'coordinator.watermark.before-propose': point('before the record `watermark` is handed to the log', 'unharmed', 'P5'),
  'coordinator.watermark.proposed': point('the log has taken `watermark`, in memory', 'unharmed', 'P5'),
  'coordinator.watermark.before-apply': point(
    '`watermark` is on disk at a quorum, before it is applied',
    'unharmed',
    'P5',
  ),
  'coordinator.watermark.applied': point('`watermark` is applied: what lies behind it is forgotten', 'unharmed', 'P5'),

  'coordinator.heuristic.before-propose': point(
    'before a finding about a branch is handed to the log',
    'unharmed',
    'P1',
  ),
  'coordinator.heuristic.proposed': point('the log has taken the finding, in memory', 'unharmed', 'P1'),
  'coordinator.heuristic.before-apply': point(
    'the finding is on disk at a quorum, before it is applied',
    'unharmed',
    'P1',
  ),
  'coordinator.heuristic.applied': point('the finding is applied', 'unharmed', 'P1'),

  'coordinator.operator.before-propose': point('before an operator’s record is handed to the log', 'unharmed', 'P1'),
  'coordinator.operator.proposed': point('the log has taken an operator’s record, in memory', 'unharmed', 'P1'),
  'coordinator.operator.before-apply': point(
    'an operator’s record is on disk at a quorum, before it is applied',
    'unharmed',
    'P1',
  ),
  'coordinator.operator.applied': point('an operator’s record is applied', 'unharmed', 'P1'),

  'coordinator.prepare.before-send': point('before PREPARE leaves for one participant', 'either', 'P1, P6'),
  'coordinator.prepare.sent': point('PREPARE has left for one participant', 'either', 'P1, P6'),
  'coordinator.vote.before-count': point('a vote is here, before it counts', 'either', 'P1, P4'),
  'coordinator.vote.counted': point(
    'a vote has counted; with the last one the decision was proposed',
    'either',
    'P1, P4',
  ),
  'coordinator.decision.before-send': point(
    'before GLOBAL-COMMIT or GLOBAL-ABORT leaves for one participant',
    'decided',
    'P6',
  ),
  'coordinator.decision.sent': point('GLOBAL-COMMIT or GLOBAL-ABORT has left for one participant', 'decided', 'P6'),
  'coordinator.answer.before-send': point('decided and applied, before the client is answered', 'decided', 'P2, P8'),
  'coordinator.answer.sent': point('the client was answered', 'decided', 'P2, P3'),
  'coordinator.ack.before-count': point('an ACK is here, before it counts', 'decided', 'P7'),
  'coordinator.ack.counted': point('an ACK has counted', 'decided', 'P7'),
  'coordinator.inquiry.received': point('an INQUIRE is here; nothing was done with it', 'either', 'P5, P6'),

  'coordinator.resolver.before-settle': point(
    'the resolver found a prepared branch and knows its outcome, before it tells the database',
    'decided',
    'P7',
  ),
  'coordinator.resolver.settled': point('the database has ended the branch, before that is noted', 'decided', 'P7'),
  'coordinator.leading.before-continue': point('elected, before it goes on with what is open', 'unharmed', 'P6', {
    recovery: true,
  }),
  'coordinator.leading.continued': point('elected; PREPAREs and decisions were sent again', 'unharmed', 'P6', {
    recovery: true,
  }),
} as const
