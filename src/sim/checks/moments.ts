import { EntryKind, isJoint, isVoterIn, type Raft, type RaftEffect, type RaftMessage } from '../../raft/index.ts'
import type { Moment } from '../faults/fault.ts'

/** The moment that an effect of a core is, if it is one. */
export function momentIn(effect: RaftEffect, core: Raft): Moment | undefined {
  switch (effect.kind) {
    case 'roleChanged':
      return effect.role === 'leader' ? 'elected' : undefined
    case 'write':
      return leads(core) && effect.entries.some(({ kind }) => kind === EntryKind.configuration) ? 'change' : undefined
    case 'configurationChanged':
      if (!leads(core)) return undefined
      if (!isVoterIn(effect.configuration, core.status().nodeId)) return 'removed'
      return isJoint(effect.configuration) ? 'joint' : undefined
    case 'installSnapshot':
      return 'install'
    default:
      return undefined
  }
}

/** The moment that a message which leaves is, if it is one. */
export function momentOf(message: RaftMessage): Moment | undefined {
  switch (message.kind) {
    case 'requestVoteResponse':
      return message.voteGranted && !message.preVote ? 'vote' : undefined
    case 'installSnapshot':
      return message.data.length > 0 ? 'chunk' : undefined
    default:
      return undefined
  }
}

function leads(core: Raft): boolean {
  return core.status().role === 'leader'
}
