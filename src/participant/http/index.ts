/** Services that the coordinators call at a URL: what they import as `concordat/http`. */
export type { ServiceCredentials } from '../../api/index.ts'
export { BRANCH_HEADER, type BranchTicket, ConcordatError, MalformedIdError, type Txid } from '../../base/index.ts'
export { InvalidOptionsError, type Logger } from '../../client/index.ts'
export {
  type BranchKey,
  BranchOverError,
  type OpenBranchView,
  ParticipantBusyError,
  type ServiceHandlers,
  WrongTicketError,
} from '../service/index.ts'
export * from '../sql-journal/index.ts'
export type {
  ExpressHandler,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  HonoContext,
  NodeHandler,
} from './frameworks.ts'
export { type HttpParticipant, type HttpParticipantOptions, httpParticipant } from './http-participant.ts'
