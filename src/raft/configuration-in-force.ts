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
 * The entry of a configuration was applied. The same one again confirms it (configuration-change.ts, rule 4), unless the
 * shell has something new to say with it.
 */
export function applyConfiguration(core: Core, { configuration, context }: ConfigurationData, index: LogIndex): void {
  const before = core.configuration
  const confirmed = context.length === 0 && sameConfiguration(configuration, before)
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
