export { BranchOverError, ParticipantBusyError, WrongTicketError } from './errors.ts'
export type { ServiceHandlers } from './handlers.ts'
export type { BranchKey } from './keys.ts'
export { type OpenBranchView, type Participant, type ParticipantOptions, participant } from './participant.ts'
