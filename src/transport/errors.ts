import { ConcordatError } from '../base/index.ts'

/** No connection could be made: nobody listens there, or the name or the route is wrong. */
export class ConnectFailedError extends ConcordatError {
  readonly code = 'CONNECT_FAILED'
  override readonly retryable = true
}

/** The other side did not take the connection, or did not answer the hello, in time. */
export class ConnectTimeoutError extends ConcordatError {
  readonly code = 'CONNECT_TIMEOUT'
  override readonly retryable = true
}

/** TLS was not agreed on: a certificate is missing, expired or not trusted, or one side does not speak TLS. */
export class TlsFailedError extends ConcordatError {
  readonly code = 'TLS_FAILED'
}

/** The other side understood the hello and refused it. `peerCode` says why (see docs/protocol.md). */
export class HandshakeRejectedError extends ConcordatError {
  readonly code = 'HANDSHAKE_REJECTED'
  override readonly retryable: boolean
  /** The refusal's stable code, for example `WRONG_CLUSTER`. */
  readonly peerCode: string

  constructor(peerCode: string, message: string, options?: ErrorOptions) {
    super(`the connection was refused with ${peerCode}: ${message}`, options)
    this.peerCode = peerCode
    this.retryable = PASSING_REJECTIONS.has(peerCode)
  }
}

/** The other side sent what the protocol does not allow, or is no Concordat at all. The connection was closed. */
export class ProtocolError extends ConcordatError {
  readonly code = 'PROTOCOL_VIOLATION'
}

/** The other side said nothing for three heartbeats: it is stopped, gone or cut off. The connection was closed. */
export class PeerSilentError extends ConcordatError {
  readonly code = 'PEER_SILENT'
  override readonly retryable = true
}

/** The connection ended: either side closed it or the network broke it. What was in flight may or may not have arrived. */
export class ConnectionClosedError extends ConcordatError {
  readonly code = 'CONNECTION_CLOSED'
  override readonly retryable = true
}

/** A message is larger than a frame may be. Nothing of it was sent. */
export class FrameTooLargeError extends ConcordatError {
  readonly code = 'FRAME_TOO_LARGE'
}

/** Why a listener refuses a hello by itself. `accept` may answer with codes of its own. */
export const RejectionCode = {
  /** The hello names another cluster. */
  wrongCluster: 'WRONG_CLUSTER',
  /** Another major version. */
  protocolVersion: 'PROTOCOL_VERSION',
  /** Role `peer` without the identity of a node. */
  nodeIdentityMissing: 'NODE_IDENTITY_MISSING',
  /** The listener's cap on connections is reached; try again later. */
  tooManyConnections: 'TOO_MANY_CONNECTIONS',
  /** A coordinator's port was found where a key-value participant's was looked for, or the other way round. */
  wrongService: 'WRONG_SERVICE',
  /** Another key-value participant listens here. */
  wrongParticipant: 'WRONG_PARTICIPANT',
} as const

/** Rejections that pass by themselves; all others wait for somebody to change something. */
const PASSING_REJECTIONS: ReadonlySet<string> = new Set([
  RejectionCode.tooManyConnections,
  'SHUTTING_DOWN',
  'NODE_RUNS_TWICE',
])
