/** One transaction over many databases: what applications import as `concordat`. */
export { ConcordatError, MalformedIdError, type Txid } from '../base/index.ts'
export { outside } from '../resources/index.ts'
export { currentTransaction } from './ambient.ts'
export {
  Concordat,
  type ConcordatSeams,
  type TransactionCallback,
  type TransactionOutcome,
} from './concordat.ts'
export type { EmbeddedOptions } from './embedded.ts'
export {
  ConcordatClosedError,
  CoordinatorUnavailableError,
  InvalidOptionsError,
  NestedTransactionError,
  OutcomeUnknownError,
  RequestRefusedError,
  TooManyBranchesError,
  TransactionAbortedError,
  type TransactionAbortReason,
  TransactionEndedError,
} from './errors.ts'
export type { ParticipantOrder } from './fleet.ts'
export { JoinedTransaction } from './joined-transaction.ts'
export { type JoinedResource, JoinedWork } from './joined-work.ts'
export type { Logger } from './logger.ts'
export { type CommonOptions, type ConcordatOptions, parseAddress } from './options.ts'
export type { AnswerHeaders, CallOptions } from './outgoing-calls.ts'
export { openParticipantPort } from './participant-port.ts'
export { RemoteCoordinators } from './remote-coordinators.ts'
export { type Service, ServiceBranch, service } from './service.ts'
export type { Transaction, TransactionOptions } from './transaction.ts'
