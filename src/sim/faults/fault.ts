import type { NetworkConditions } from '../network/conditions.ts'

/**
 * A coordinator by its number, whoever leads when it happens, `database:2`, `application:1` or `participant:3`. In an ambush also `subject`,
 * whose moment it is, and `bystander`: to whom it speaks, or else another coordinator that runs then, the same one for all
 * that one moment sets off.
 */
export type Target = number | string

/** Something decisive that a coordinator does. Raft is most easily hurt right then. */
export type Moment =
  /** Becomes leader. */
  | 'elected'
  /** Leads, and appends a configuration. */
  | 'change'
  /** Leads, and a joint configuration comes in force for it. */
  | 'joint'
  /** Leads, and applies a configuration in which it has no vote. */
  | 'removed'
  /** Gives its vote away. */
  | 'vote'
  /** Comes up in doubt. */
  | 'doubt'
  /** Sends a part of a snapshot. */
  | 'chunk'
  /** Replaces its state by a leader's snapshot. */
  | 'install'

/** Lies in wait from `atMs` on, and happens so long after the nth such moment. */
export interface Ambush {
  readonly moment: Moment
  readonly nth: number
  readonly afterMs: number
}

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
  /** Nothing gets from one side to the others; with `oneWay` they are still heard; with `reachable`, applications and databases reach both. */
  | {
      readonly kind: 'partition'
      readonly side: readonly Target[]
      readonly oneWay: boolean
      readonly reachable: boolean
      readonly forMs: number
    }
  /** The coordinators fall apart into a majority of the new voters and one of the old, when a joint change leaves room for both. */
  | { readonly kind: 'splitJoint'; readonly forMs: number }
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
  /** An operator adds a machine, makes it a voter once it has caught up, and tries so for a while; or forces it. */
  | { readonly kind: 'addMember'; readonly forced: boolean; readonly forMs: number }
  /** An operator removes a member for good. */
  | { readonly kind: 'removeMember'; readonly target: Target; readonly forMs: number }
  /** An operator makes a voter a learner, or a learner a voter. */
  | { readonly kind: 'demote' | 'promote'; readonly target: Target; readonly forMs: number }
  /** A machine is lost with its disk, and an operator puts another in its place. */
  | { readonly kind: 'replaceMember'; readonly target: Target; readonly forMs: number }
  /** The same with a machine that is well. */
  | { readonly kind: 'swapMember'; readonly target: Target; readonly forMs: number }
  /** A coordinator is stopped and starts with the newer release. */
  | { readonly kind: 'upgrade'; readonly target: Target; readonly downMs: number }
  | { readonly kind: 'wallJump'; readonly target: Target; readonly byMs: number }

export interface Fault {
  /** Stays when others are left out. */
  readonly id: number
  readonly atMs: number
  readonly ambush?: Ambush | undefined
  readonly action: FaultAction
}
