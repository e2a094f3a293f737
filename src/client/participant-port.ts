import { type Clock, systemClock } from '../base/index.ts'
import { type Network, tcpNetwork } from '../transport/index.ts'
import type { FleetEvents } from './fleet.ts'
import { type ConcordatOptions, checkFleet } from './options.ts'
import { RemoteCoordinators } from './remote-coordinators.ts'

/** What the simulator replaces. @internal */
export interface ParticipantPortSeams {
  readonly clock?: Clock
  readonly network?: Network
  /** From 0 to below 1: jitter only. */
  readonly random?: () => number
  /** Runs a task at the end of this turn of the event loop. */
  readonly schedule?: (task: () => void) => void
}

/**
 * @internal A participant's way to the coordinators: the client's, in another role. It connects at `connect()`.
 *
 * @throws InvalidOptionsError
 */
export function openParticipantPort(
  options: Pick<ConcordatOptions, 'coordinators' | 'tls' | 'name' | 'clusterId' | 'logger'>,
  onOrder: FleetEvents['onOrder'],
  seams: ParticipantPortSeams = {},
): RemoteCoordinators {
  const { settings, fleet } = checkFleet(options)
  const { network = tcpNetwork(), clock = systemClock, random = Math.random, schedule } = seams
  const parts = { network, clock, random, schedule, logger: settings.logger }
  return new RemoteCoordinators({ ...fleet, ...parts, role: 'participant' }, onOrder)
}
