import { pointsOf } from './failpoint.ts'

const kv = pointsOf('kv', { alone: 'its data is on its own disk, and nowhere else' })
const service = pointsOf('service')

/** Records, messages and acknowledgements of the built-in key-value participant. */
export const KV_POINTS = {
  'kv.prepared.before-write': kv(
    'PREPARE is here and the branch may commit, before its record is written',
    'either',
    'P4',
  ),
  'kv.prepared.durable': kv('effects and locks are on disk, before the vote is known to anybody', 'either', 'P4'),
  'kv.refused.before-write': kv('the branch can not commit, before that is written', 'abort', 'P4'),
  'kv.vote.before-send': kv('before the vote leaves', 'either', 'P4'),
  'kv.vote.sent': kv('the vote has left', 'either', 'P4'),
  'kv.commit.before-write': kv('GLOBAL-COMMIT is here, before its record is written', 'commit', 'P1, P7'),
  'kv.commit.written': kv('the record is on its way to the disk; the locks are free', 'commit', 'P1, P7'),
  'kv.commit.durable': kv('the record is on disk, before the ACK', 'commit', 'P1, P7'),
  'kv.abort.before-write': kv('GLOBAL-ABORT is here, before its record is written', 'abort', 'P1, P7'),
  'kv.abort.durable': kv('the record is on disk, before the ACK', 'abort', 'P1, P7'),
  'kv.ack.before-send': kv('before the ACK leaves', 'decided', 'P7'),
  'kv.ack.sent': kv('the ACK has left', 'decided', 'P7'),
  'kv.one-phase.before-write': kv('a lone branch may commit, before its records are written', 'abort', 'P8'),
  'kv.one-phase.durable': kv('a lone branch is committed on disk, before its locks are free', 'commit', 'P8'),
  'kv.checkpoint.before': kv('before a checkpoint begins', 'unharmed', 'P4'),
  'kv.checkpoint.noted': kv(
    'its head and the branches in doubt are in the log, before the store is written',
    'unharmed',
    'P4',
  ),
  'kv.checkpoint.stored': kv('the store has the effects, before the log is cut', 'unharmed', 'P4'),
  'kv.checkpoint.cut': kv('the log is cut behind the checkpoint', 'unharmed', 'P4'),
  'kv.start.log-read': kv('at the start, the log was read, before locks are taken back', 'unharmed', 'P4, P7', {
    recovery: true,
  }),
  'kv.start.locked': kv('at the start, the locks are taken back, before the port opens', 'unharmed', 'P4, P7', {
    recovery: true,
  }),
} as const

/** Records, messages and acknowledgements of one instance of a service. */
export const SERVICE_POINTS = {
  'service.joined.before-write': service('a call brought a ticket, before that is written', 'abort', 'P4, P7'),
  'service.joined.durable': service(
    'it is on disk that this instance holds the branch, before its work',
    'abort',
    'P4, P7',
  ),
  'service.prepare.before-call': service('PREPARE is here, before the service is asked', 'either', 'P4'),
  'service.prepare.called': service('the service has answered, before its vote is written', 'either', 'P4'),
  'service.vote.durable': service('the vote is on disk, before it leaves', 'either', 'P4'),
  'service.vote.sent': service('the vote has left', 'either', 'P4'),
  'service.outcome.before-call': service(
    'the decision is here, before the service carries it out',
    'decided',
    'P1, P7',
  ),
  'service.outcome.called': service('the service has carried it out, before that is written', 'decided', 'P1, P7'),
  'service.ended.durable': service('it is on disk that the branch has ended, before the ACK', 'decided', 'P1, P7'),
  'service.ack.sent': service('the ACK has left', 'decided', 'P7'),
  'service.inquiry.before-send': service('in doubt, before the coordinators are asked', 'decided', 'P6'),
  'service.inquiry.answered': service('the coordinators have answered, before that is carried out', 'decided', 'P6'),
  'service.start.journal-read': service(
    'at the start, the journal was read, before anything is done',
    'unharmed',
    'P4',
    {
      recovery: true,
    },
  ),
} as const
