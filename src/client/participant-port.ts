import { systemClock } from '../base/index.ts'
import { tcpNetwork } from '../transport/index.ts'
import type { FleetEvents } from './fleet.ts'
import { type ConcordatOptions, checkFleet } from './options.ts'
import { RemoteCoordinators } from './remote-coordinators.ts'

/**
 * @internal A participant's way to the coordinators: the client's, in another role. It connects at `connect()`.
 *
 * @throws InvalidOptionsError
 */
export function openParticipantPort(
  options: Pick<ConcordatOptions, 'coordinators' | 'tls' | 'name' | 'clusterId' | 'logger'>,
  onOrder: FleetEvents['onOrder'],
): RemoteCoordinators {
  const { settings, fleet } = checkFleet(options)
  const parts = { network: tcpNetwork(), clock: systemClock, random: Math.random, logger: settings.logger }
  return new RemoteCoordinators({ ...fleet, ...parts, role: 'participant' }, onOrder)
}
