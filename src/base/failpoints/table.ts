import { CLIENT_POINTS, DATABASE_POINTS } from './client-points.ts'
import { COORDINATOR_POINTS } from './coordinator-points.ts'
import type { Failpoint } from './failpoint.ts'
import { KV_POINTS, SERVICE_POINTS } from './participant-points.ts'
import { RAFT_POINTS, WAL_POINTS } from './raft-points.ts'

/**
 * Every crash point: the one table that code, simulator, campaign and documentation share (docs/crash-points.md is made
 * of it). A name is never used for another step.
 */
export const FAILPOINTS = {
  ...COORDINATOR_POINTS,
  ...RAFT_POINTS,
  ...WAL_POINTS,
  ...CLIENT_POINTS,
  ...DATABASE_POINTS,
  ...KV_POINTS,
  ...SERVICE_POINTS,
} as const satisfies Record<string, Failpoint>

export type FailpointName = keyof typeof FAILPOINTS

export const FAILPOINT_NAMES = Object.keys(FAILPOINTS) as readonly FailpointName[]

export function isFailpointName(text: string): text is FailpointName {
  return Object.hasOwn(FAILPOINTS, text)
}
