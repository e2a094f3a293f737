import type { ClusterId } from '../base/index.ts'
import type { PreparedBranch } from './resource.ts'

/**
 * What operators ask a database. It only looks: nothing here changes a row, a lock or a setting.
 */
export interface InspectionPort {
  /**
   * The prepared branches of `cluster`, and what they block.
   *
   * @throws ResourceUnavailableError, ResourceMisconfiguredError
   */
  inDoubt(cluster: ClusterId): Promise<InDoubtReport>

  /** Whether the database keeps its part of the promises: settings, versions, rights. A database that can't be asked is an error among them. Never throws. */
  examine(): Promise<readonly Observation[]>
}

/** What one database says of the branches that are prepared in it. */
export interface InDoubtReport {
  readonly branches: readonly BranchInDoubt[]
  /** What prepared branches block of which the database does not tell whose it is (InnoDB). */
  readonly unattributed: Blocked
  /** Prepared transactions that are not ours: of other clusters and other transaction managers. They are counted, never touched. */
  readonly foreign: {
    /** In this database; where it does not tell databases apart (XA), on this server. */
    readonly here: number
    /** In other databases of the same server: they use up the same slots. */
    readonly elsewhere: number
  }
  /** Places for prepared transactions on the whole server; undefined where there is no such limit. */
  readonly slots: { readonly max: number; readonly used: number } | undefined
  /** What could not be seen and why, in plain words. */
  readonly notes: readonly string[]
}

/** A prepared branch and what it holds up. */
export interface BranchInDoubt extends PreparedBranch, Blocked {
  /** Who prepared it; undefined where the database does not say (XA). */
  readonly owner: string | undefined
  /** PostgreSQL: how it holds back the clean-up of dead rows. */
  readonly vacuum: VacuumHold | undefined
}

/** What is blocked. Lists are cut to `LISTED_MAX`; the counts are whole. */
export interface Blocked {
  readonly sessions: readonly BlockedSession[]
  readonly sessionCount: number
  readonly tables: readonly LockedTable[]
  readonly tableCount: number
}

/** Sessions and tables of one branch that are listed, at most. */
export const LISTED_MAX = 20

/** A session that waits for a lock of a prepared branch. */
export interface BlockedSession {
  /** The server's own number: a pid, or a connection id. */
  readonly id: number
  readonly user: string | undefined
  /** The application's name, or the host that it comes from. */
  readonly client: string | undefined
  readonly waitMs: number | undefined
  /** What it waits for, in plain words: `a row of public.seats`. */
  readonly waitsFor: string
  /** The session in front of it, when it waits behind one that waits for the branch. */
  readonly behind: number | undefined
  /** The beginning of its statement, as far as it holds no values. */
  readonly statement: string | undefined
}

/** A table that a prepared branch has locked. */
export interface LockedTable {
  readonly name: string
  /** The strongest lock, in the database's words: `RowExclusiveLock`, `IX`. */
  readonly mode: string
}

/** How a prepared branch holds back vacuum. */
export interface VacuumHold {
  /** Transaction ids that were given out since it wrote first: rows that these changed or deleted may have to stay. */
  readonly xids: number
  /** Nothing else on the server holds vacuum back further: the end of this branch helps. */
  readonly isOldest: boolean
}

/** Something that `examine` looked at. */
export interface Observation {
  /** `error`: transactions fail or stay stuck, or a crash breaks a promise; `warning`: it works, and may not under conditions that the message names. */
  readonly level: 'ok' | 'warning' | 'error'
  /** A stable word, for example `preparedTransactionsOff`. */
  readonly what: string
  /** What it is and what it means. */
  readonly message: string
  /** What to do; undefined when there is nothing to do. */
  readonly advice: string | undefined
}

/** Nothing blocked. */
export const NOTHING_BLOCKED: Blocked = { sessions: [], sessionCount: 0, tables: [], tableCount: 0 }

/** Cuts the lists. */
export function blocked(sessions: readonly BlockedSession[], tables: readonly LockedTable[]): Blocked {
  return {
    sessions: sessions.slice(0, LISTED_MAX),
    sessionCount: sessions.length,
    tables: tables.slice(0, LISTED_MAX),
    tableCount: tables.length,
  }
}
