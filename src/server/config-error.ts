import { ConcordatError } from '../base/index.ts'

/** The configuration can't be used. The message names file, line and key of each mistake. */
export class ConfigError extends ConcordatError {
  readonly code = 'CONFIG_INVALID'
}
