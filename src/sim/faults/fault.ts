import type { NetworkConditions } from '../network/conditions.ts'

/** A coordinator by its number, whoever leads when it happens, or any process by its name. */
export type Target = number | 'leader' | string

/** Something that goes wrong. Each takes back by itself what it did, so leaving one out changes no other. */
export type FaultAction =
  | { readonly kind: 'crash'; readonly target: Target; readonly death: 'killed' | 'power'; readonly downMs: number }
  /** Everybody at once: the power fails. */
  | { readonly kind: 'blackout'; readonly downMs: number }
  /** Dies in the middle of its nth disk operation from now. */
  | {
      readonly kind: 'crashInDisk'
      readonly target: Target
      readonly operations: number
      readonly death: 'killed' | 'power'
      readonly downMs: number
    }
  /** SIGTERM, and a start after its end. */
  | { readonly kind: 'restart'; readonly target: Target; readonly downMs: number }
  /** SIGSTOP. */
  | { readonly kind: 'pause'; readonly target: Target; readonly forMs: number }
  /** Nothing gets from one side to the other; with `oneWay` answers still come back. */
  | {
      readonly kind: 'partition'
      readonly side: readonly Target[]
      readonly oneWay: boolean
      readonly forMs: number
    }
  /** One direction between two. */
  | { readonly kind: 'cut'; readonly from: Target; readonly to: Target; readonly forMs: number }
  | { readonly kind: 'reset'; readonly a: Target; readonly b: Target }
  /** The connections from one to the other are forgotten by a middlebox: half-open. */
  | { readonly kind: 'swallow'; readonly from: Target; readonly to: Target }
  | { readonly kind: 'weather'; readonly conditions: Partial<NetworkConditions>; readonly forMs: number }
  | { readonly kind: 'slowDisk'; readonly target: Target; readonly latencyMs: number; readonly forMs: number }
  /** Writes and syncs fail with EIO. */
  | { readonly kind: 'badDisk'; readonly target: Target; readonly chance: number; readonly forMs: number }
  | { readonly kind: 'fullDisk'; readonly target: Target; readonly roomBytes: number; readonly forMs: number }
  | { readonly kind: 'wallJump'; readonly target: Target; readonly byMs: number }

export interface Fault {
  /** Stays when others are left out. */
  readonly id: number
  readonly atMs: number
  readonly action: FaultAction
}
