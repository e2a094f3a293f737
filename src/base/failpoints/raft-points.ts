import { pointsOf } from './failpoint.ts'

const raft = pointsOf('raft')
const wal = pointsOf('wal')

/** Records and messages of one Raft node. */
export const RAFT_POINTS = {
  'raft.vote.before-write': raft('before a term or vote is written', 'unharmed', 'P2'),
  'raft.vote.durable': raft('a term or vote is on disk, before anything that it allows is sent', 'unharmed', 'P2'),
  'raft.append.leader.before-write': raft('a leader has entries, before it writes them', 'unharmed', 'P3'),
  'raft.append.leader.durable': raft('a leader’s entries are on its disk, before it counts itself', 'unharmed', 'P3'),
  'raft.append.follower.before-write': raft('a follower has entries, before it writes them', 'unharmed', 'P3'),
  'raft.append.follower.durable': raft(
    'entries are on a follower’s disk, before it acknowledges them',
    'unharmed',
    'P3',
  ),
  'raft.apply.before': raft('an entry is committed, before this node applies it', 'unharmed', 'P2'),
  'raft.apply.after': raft('this node has applied an entry', 'unharmed', 'P2'),
  'raft.configuration.before-write': raft('before an entry that changes the members is written', 'unharmed', 'P3, P6'),
  'raft.configuration.durable': raft('a change of the members is on this node’s disk', 'unharmed', 'P3, P6'),
  'raft.configuration.applied': raft('a change of the members is in force at this node', 'unharmed', 'P3, P6'),

  'raft.request-vote.before-send': raft('before a candidate asks one node for its vote', 'unharmed', 'P6'),
  'raft.request-vote.sent': raft('a candidate has asked one node for its vote', 'unharmed', 'P6'),
  'raft.vote.before-send': raft('before a granted vote leaves', 'unharmed', 'P2'),
  'raft.vote.sent': raft('a granted vote has left', 'unharmed', 'P2'),
  'raft.append.before-send': raft('before a leader sends entries to one follower', 'unharmed', 'P3'),
  'raft.append.sent': raft('a leader has sent entries to one follower', 'unharmed', 'P3'),
  'raft.append-ack.before-send': raft('before a follower acknowledges AppendEntries', 'unharmed', 'P3'),
  'raft.append-ack.sent': raft('a follower has acknowledged AppendEntries', 'unharmed', 'P3'),
  'raft.snapshot-chunk.before-send': raft('before a leader sends a part of a snapshot', 'unharmed', 'P6'),
  'raft.snapshot-chunk.sent': raft('a leader has sent a part of a snapshot', 'unharmed', 'P6'),
  'raft.snapshot-ack.before-send': raft('before a follower acknowledges a part of a snapshot', 'unharmed', 'P6'),
  'raft.snapshot-ack.sent': raft('a follower has acknowledged a part of a snapshot', 'unharmed', 'P6'),
  'raft.transfer.before-send': raft('before a leader tells its heir to campaign', 'unharmed', 'P6'),
  'raft.transfer.sent': raft('a leader has told its heir to campaign', 'unharmed', 'P6'),

  'raft.snapshot.before-write': raft('before this node writes a snapshot of its ledger', 'unharmed', 'P2'),
  'raft.snapshot.written': raft('a snapshot is written, before it has its name', 'unharmed', 'P2'),
  'raft.snapshot.named': raft('a snapshot has its name, before the log is cut behind it', 'unharmed', 'P2'),
  'raft.compaction.before-write': raft('before the log says that it begins behind a snapshot', 'unharmed', 'P2'),
  'raft.compaction.durable': raft('the log says so on disk, before older files are removed', 'unharmed', 'P2'),
  'raft.compaction.removed': raft('the files of the log before a snapshot are gone', 'unharmed', 'P2'),
  'raft.install.before-read': raft('a leader’s snapshot is whole and on disk, before it is read', 'unharmed', 'P2'),
  'raft.install.before-log': raft('it was read and checked, before the log begins anew behind it', 'unharmed', 'P2'),
  'raft.install.log-begun': raft('the log begins behind it, before the ledger is replaced', 'unharmed', 'P2'),
  'raft.install.replaced': raft('the ledger is that of the snapshot, before the core is told', 'unharmed', 'P2'),

  'raft.start.before-read': raft('at the start, before the log is read', 'unharmed', 'P3, P6', { recovery: true }),
  'raft.start.log-read': raft('the log was read, before the ledger is restored', 'unharmed', 'P3, P6', {
    recovery: true,
  }),
  'raft.start.restored': raft('the ledger is that of the snapshot, before anything is applied', 'unharmed', 'P3, P6', {
    recovery: true,
  }),
} as const

/** Steps of the durable log, which coordinators, key-value participants and services have in common. */
export const WAL_POINTS = {
  'wal.batch.before-write': wal('before a batch of records is written', 'unharmed', 'P3, P4'),
  'wal.batch.under-way': wal(
    'a write was begun: after a power cut any of its sectors may be there',
    'unharmed',
    'P3, P4',
  ),
  'wal.batch.durable': wal('the write is on disk (`O_DSYNC`), before anybody hears of it', 'unharmed', 'P3, P4'),
  'wal.batch.acknowledged': wal('everybody who waited for the batch has heard of it', 'unharmed', 'P3, P4'),
  'wal.segment.before-make': wal('before the next file of the log is made', 'unharmed', 'P3, P4'),
  'wal.segment.made': wal('the next file of the log is there and named', 'unharmed', 'P3, P4'),
  'wal.removal.before': wal('before the oldest file of the log is removed', 'unharmed', 'P3, P4'),
  'wal.removal.after': wal('the oldest file of the log is removed', 'unharmed', 'P3, P4'),
} as const
