export { decodeFrame, encodeFrame } from './codec.ts'
export type { Connection } from './connection.ts'
export { type DialOptions, dial } from './dial.ts'
export {
  ConnectFailedError,
  ConnectionClosedError,
  ConnectTimeoutError,
  FrameTooLargeError,
  HandshakeRejectedError,
  PeerSilentError,
  ProtocolError,
  RejectionCode,
  TlsFailedError,
} from './errors.ts'
export { FRAME_BODY_BYTES_MAX, SNAPSHOT_CHUNK_BYTES_MAX } from './frame.ts'
export {
  type ConnectionLimits,
  DEFAULT_CONNECTION_LIMITS,
  DEFAULT_LISTENER_LIMITS,
  type ListenerLimits,
} from './limits.ts'
export { Link, type LinkOptions } from './link.ts'
export { type Listener, type ListenerOptions, listen, type RemoteParty, type TransportLogger } from './listener.ts'
export { type MemoryNetwork, type MemoryNetworkOptions, memoryNetwork } from './memory-network.ts'
export * from './messages.ts'
export type {
  ByteStream,
  ConnectOptions,
  Endpoint,
  ListenOptions,
  Network,
  NetworkListener,
  StreamHandlers,
  TlsOptions,
} from './network.ts'
export { minorOf } from './protocol-minor.ts'
export { tcpNetwork } from './tcp-network.ts'
