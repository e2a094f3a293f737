import type { Clock, ClusterId } from '../../base/index.ts'
import type { Logger } from '../../client/index.ts'
import type { Journal } from '../service/journal.ts'

/** Whose journal it is. */
export interface JournalOwner {
  /** The service's name. */
  readonly name: string
  readonly clusterId: ClusterId
  readonly clock: Clock
  readonly logger: Logger
  /** Branches that an instance takes up, at most. */
  readonly openMax: number
}

/**
 * A journal in the service's own database. `Sql` is the client that its handlers get. Made by `postgresJournal` and
 * `mysqlJournal`, and given to `participant` or `httpParticipant` as `journal`; one may serve several.
 */
export interface ServiceJournal<Sql> {
  readonly kind: 'postgres' | 'mysql'
  /** The statements that make its tables, for a migration; each ends with a semicolon. */
  readonly schema: string
  /**
   * @internal
   * @throws JournalUnusableError, ResourceUnavailableError, ResourceMisconfiguredError
   */
  open(owner: JournalOwner): Promise<Journal<Sql>>
}
