import type { ServerMessage } from '../transport/index.ts'

/** PREPARE or GLOBAL-COMMIT/GLOBAL-ABORT: what a coordinator says to a participant by itself. */
export type ParticipantMessage = Extract<ServerMessage, { kind: 'prepare' | 'decision' }>

/**
 * How a coordinator reaches participants in other processes (`service` and `kv` branches).
 * Their answers come back through `Coordinator.vote` and `Coordinator.ack`.
 */
export interface ParticipantPort {
  /**
   * Whether a message to this participant can ever arrive. False only when nobody of that name is configured or
   * registered: a commit that needs its vote is then aborted at once. A participant that is merely away is `true`:
   * PREPARE is repeated until the deadline.
   */
  knows(participant: string): boolean
  /** Sends once, and may lose it: the coordinator repeats until it has an answer. Must not throw. */
  send(participant: string, message: ParticipantMessage): void
}

/** The port of a coordinator that has no participants in other processes. */
export const noParticipants: ParticipantPort = { knows: () => false, send() {} }
