import { assertConfiguration, sameConfiguration } from './configuration.ts'
import type { ConfigurationData } from './configuration-codec.ts'
import type { Core } from './core.ts'
import { clearDoubt } from './doubt.ts'
import { offset } from './positions.ts'
import type { Configuration, LogIndex } from './types.ts'

// Puts configurations in force. What follows from one (new and gone followers, a commit that needs fewer acknowledgements,
// a leader that is none any more) happens when the step ends, in configuration-change.ts: the step is in the midst of
// something else.

/**
 * True when an entry confirms the configuration that is in force (configuration-change.ts, rule 4): the same one again,
 * with nothing new in its context.
 */
export function isConfirmation(inForce: Configuration, { configuration, context }: ConfigurationData): boolean {
  return context.length === 0 && sameConfiguration(configuration, inForce)
}

/** The entry of a configuration was applied. */
export function applyConfiguration(core: Core, data: ConfigurationData, index: LogIndex): void {
  const { configuration, context } = data
  const before = core.configuration
  const confirmed = isConfirmation(before, data)
  core.outbox.emit({ kind: 'configurationChanged', configuration, context, index, confirmed })
  adopt(core, configuration, confirmed)
  clearDoubt(core, before, offset(index, -1))
}

/** A configuration came with a snapshot: snapshots are taken only while it is confirmed. */
export function installConfiguration(core: Core, configuration: Configuration): void {
  const before = core.configuration
  adopt(core, configuration, true)
  // When it is another, one that follows on the one before is part of the snapshot.
  if (!sameConfiguration(configuration, before)) clearDoubt(core, before, core.lastApplied)
}

function adopt(core: Core, configuration: Configuration, confirmed: boolean): void {
  assertConfiguration(configuration)
  core.configuration = configuration
  core.isConfigurationConfirmed = confirmed
  core.isConfigurationFresh = true
}
