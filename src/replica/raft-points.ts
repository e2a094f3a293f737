import { hit } from '../base/index.ts'
import { EntryKind, type RaftMessage, type WriteEffect } from '../raft/index.ts'

// These cost something: call them only while failpoints are armed.

/** The crash points of what a turn writes. */
export function hitWrites(writes: readonly WriteEffect[], moment: 'before-write' | 'durable', leads: boolean): void {
  const entries = writes.flatMap((write) => write.entries)
  if (writes.some(({ hardState }) => hardState !== undefined)) hit(`raft.vote.${moment}`)
  if (entries.some(({ kind }) => kind === EntryKind.configuration)) hit(`raft.configuration.${moment}`)
  if (entries.length > 0) hit(`raft.append.${leads ? 'leader' : 'follower'}.${moment}`)
}

/** The crash points of a message, where it has some: heartbeats and questions that promise nothing have none. */
export function hitMessage(message: RaftMessage, moment: 'before-send' | 'sent'): void {
  switch (message.kind) {
    case 'requestVote':
      if (!message.preVote) hit(`raft.request-vote.${moment}`)
      break
    case 'requestVoteResponse':
      if (message.voteGranted && !message.preVote) hit(`raft.vote.${moment}`)
      break
    case 'appendEntries':
      if (message.entries.length > 0) hit(`raft.append.${moment}`)
      break
    case 'appendEntriesResponse':
      hit(`raft.append-ack.${moment}`)
      break
    case 'installSnapshot':
      if (message.data.length > 0) hit(`raft.snapshot-chunk.${moment}`)
      break
    case 'installSnapshotResponse':
      hit(`raft.snapshot-ack.${moment}`)
      break
    case 'timeoutNow':
      hit(`raft.transfer.${moment}`)
      break
    default:
      break
  }
}
