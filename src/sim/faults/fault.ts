import type { NetworkConditions } from '../network/conditions.ts'

/** A coordinator by its number, whoever leads when it happens, `database:2` or `application:1`. */
export type Target = number | string

/** Something that goes wrong. Each takes back by itself what it did, so leaving one out changes no other. */
export type FaultAction =
  | { readonly kind: 'crash'; readonly target: Target; readonly death: 'killed' | 'power'; readonly downMs: number }
  /** All coordinators at once: the power fails. */
  | { readonly kind: 'blackout'; readonly downMs: number }
  /** Dies at its nth use of a seam from now. */
  | {
      readonly kind: 'crashAt'
      readonly target: Target
      readonly seam: 'task' | 'timer' | 'later' | 'send' | 'disk' | 'any'
      readonly uses: number
      readonly death: 'killed' | 'power'
      readonly downMs: number
    }
  /** SIGTERM, and a start after its end. */
  | { readonly kind: 'restart'; readonly target: Target; readonly downMs: number }
  /** SIGSTOP. */
  | { readonly kind: 'pause'; readonly target: Target; readonly forMs: number }
  /** Nothing gets from one side to the others; with `oneWay` they are still heard. */
  | {
      readonly kind: 'partition'
      readonly side: readonly Target[]
      readonly oneWay: boolean
      readonly forMs: number
    }
  /** One direction between two. */
  | { readonly kind: 'cut'; readonly from: Target; readonly to: Target; readonly forMs: number }
  | { readonly kind: 'reset'; readonly a: Target; readonly b: Target }
  /** A middlebox forgets the connections from one to the other: they are half-open. */
  | { readonly kind: 'swallow'; readonly from: Target; readonly to: Target }
  | { readonly kind: 'weather'; readonly conditions: Partial<NetworkConditions>; readonly forMs: number }
  | { readonly kind: 'slowDisk'; readonly target: Target; readonly latencyMs: number; readonly forMs: number }
  /** Operations fail with EIO. */
  | {
      readonly kind: 'badDisk'
      readonly target: Target
      readonly writeError: number
      readonly readError: number
      readonly forMs: number
    }
  | { readonly kind: 'fullDisk'; readonly target: Target; readonly roomBytes: number; readonly forMs: number }
  /** Durable bits change by themselves. */
  | { readonly kind: 'bitFlip'; readonly target: Target; readonly bits: number; readonly seed: number }
  /** The next durable write lands so far before its place. */
  | { readonly kind: 'misdirect'; readonly target: Target; readonly byBytes: number }
  /** An operator hands the leadership over. */
  | { readonly kind: 'transfer'; readonly to: number | undefined }
  /** An operator adds a machine, makes it a voter once it has caught up, and tries so for a while. */
  | { readonly kind: 'addMember'; readonly forMs: number }
  /** An operator removes a member for good. */
  | { readonly kind: 'removeMember'; readonly target: Target; readonly forMs: number }
  /** An operator makes a voter a learner, or a learner a voter. */
  | { readonly kind: 'demote' | 'promote'; readonly target: Target; readonly forMs: number }
  /** A machine is lost with its disk, and an operator puts another in its place. */
  | { readonly kind: 'replaceMember'; readonly target: Target; readonly forMs: number }
  /** A coordinator is stopped and starts with the newer release. */
  | { readonly kind: 'upgrade'; readonly target: Target; readonly downMs: number }
  | { readonly kind: 'wallJump'; readonly target: Target; readonly byMs: number }

export interface Fault {
  /** Stays when others are left out. */
  readonly id: number
  readonly atMs: number
  readonly action: FaultAction
}
