import { assertConfiguration } from './configuration.ts'
import type { Core } from './core.ts'
import { clearDoubt } from './doubt.ts'
import type { Configuration, LogIndex } from './types.ts'

/**
 * Puts a configuration in force: its entry was applied, or it came with a snapshot. What follows from it (new and gone
 * followers, a commit that needs fewer acknowledgements, a leader that is none any more) happens when the step ends, in
 * configuration-change.ts: the step is in the midst of something else.
 *
 * @param lastIndexBefore up to where the configuration before was known to be in force
 */
export function adoptConfiguration(core: Core, configuration: Configuration, lastIndexBefore: LogIndex): void {
  assertConfiguration(configuration)
  const before = core.configuration
  core.configuration = configuration
  core.isConfigurationFresh = true
  clearDoubt(core, before, lastIndexBefore)
}
