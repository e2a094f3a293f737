import type { BranchTicket, ClusterId } from '../../base/index.ts'
import { BranchOverError, ParticipantBusyError, WrongTicketError } from './errors.ts'
import type { BranchKey } from './keys.ts'

export function wrongTicket(
  { participant, cluster }: BranchTicket,
  name: string,
  clusterId: ClusterId,
): WrongTicketError {
  return new WrongTicketError(
    `the call is for ${participant} of cluster ${cluster}, and this is ${name} of ${clusterId}; nothing was done; check where the application sends it`,
  )
}

export function over({ txid, branch }: Pick<BranchKey, 'txid' | 'branch'>): BranchOverError {
  return new BranchOverError(
    `branch ${branch} of transaction ${txid} takes no more work: its transaction is ending or over; answer the caller with an error`,
  )
}

export function busy(name: string): ParticipantBusyError {
  return new ParticipantBusyError(
    `this instance of ${name} takes no new branches now: too many are open, its disk is nearly full, or it is closing; nothing was done; let another instance answer, or try again`,
  )
}
