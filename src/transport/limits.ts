/** What one connection may take. */
export interface ConnectionLimits {
  /** Bytes that wait for the peer, at most; beyond it `send` answers false. One frame may exceed it. Default 16 MiB. */
  readonly queueBytesMax: number
  /** Ping after so long without a byte from the peer; three times as long without one closes the connection. Default 1000. */
  readonly heartbeatMs: number
  /** TCP connect and TLS together. Default 5000. */
  readonly connectTimeoutMs: number
  /** From the open stream to the answered hello. Default 5000. */
  readonly handshakeTimeoutMs: number
}

/** What one listener may take in all. */
export interface ListenerLimits extends ConnectionLimits {
  /** Connections of clients and participants. The next is refused with TOO_MANY_CONNECTIONS. Default 4096. */
  readonly connectionsMax: number
  /** Connections of coordinators, counted apart so that clients can never keep a peer out. Default 64. */
  readonly peersMax: number
  /** Connections whose hello has not come yet. The oldest makes room for the next. Default 256. */
  readonly handshakingMax: number
}

/** Silence of so many heartbeats closes a connection. */
export const SILENCE_HEARTBEATS = 3

export const DEFAULT_CONNECTION_LIMITS: ConnectionLimits = {
  queueBytesMax: 16 * 1024 * 1024,
  heartbeatMs: 1000,
  connectTimeoutMs: 5000,
  handshakeTimeoutMs: 5000,
}

export const DEFAULT_LISTENER_LIMITS: ListenerLimits = {
  ...DEFAULT_CONNECTION_LIMITS,
  connectionsMax: 4096,
  peersMax: 64,
  handshakingMax: 256,
}
