import type { Message } from './messages.ts'

/**
 * The first minor version whose readers know `message`. A frame never goes to an older one, which would take it for
 * damage and close the connection.
 *
 * 1.0: everything else. 1.1: leadership transfer, reads from followers, snapshots, members in doubt, what a member without
 * a vote knows of the commit. 1.2: deadlocks over several databases.
 */
export function minorOf(message: Message): number {
  switch (message.kind) {
    case 'timeoutNow':
    case 'readIndex':
    case 'readIndexResponse':
    case 'installSnapshot':
    case 'installSnapshotResponse':
      return 1
    case 'requestVote':
      return message.leadershipTransfer ? 1 : 0
    case 'requestVoteResponse':
      return message.committed === undefined ? 0 : 1
    case 'appendEntriesResponse':
      return message.doubtful ? 1 : 0
    case 'waiting':
    case 'lockWaits':
    case 'deadlock':
      return 2
    default:
      return 0
  }
}
