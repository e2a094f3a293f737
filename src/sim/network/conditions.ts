/** What becomes of whole Raft frames between coordinators: chances from 0 to 1. Raft must stand all of it. */
export interface FrameChaos {
  readonly drop: number
  readonly duplicate: number
  /** Held back, so that later ones overtake it. */
  readonly delay: number
  readonly delayMsMax: number
}

/** How the network behaves where nothing is cut. */
export interface NetworkConditions {
  /** One way, at least; and how much more at most, usually. */
  readonly latencyMs: number
  readonly jitterMs: number
  /** Chance of a chunk to take up to `spikeMs` longer. */
  readonly spike: number
  readonly spikeMs: number
  /** Chance that a chunk breaks its connection: what loss comes to in TCP. */
  readonly break: number
  /** Chance that a chunk arrives in two pieces. */
  readonly split: number
  readonly frames: FrameChaos
}

/** A quiet local network. */
export const CALM: NetworkConditions = {
  latencyMs: 0.1,
  jitterMs: 0.3,
  spike: 0,
  spikeMs: 0,
  break: 0,
  split: 0.01,
  frames: { drop: 0, duplicate: 0, delay: 0, delayMsMax: 0 },
}
