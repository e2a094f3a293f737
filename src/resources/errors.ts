import { ConcordatError, type Gid } from '../base/index.ts'

/** The database or service can't be reached, or refuses for now. Nothing was decided by this call; try again. */
export class ResourceUnavailableError extends ConcordatError {
  readonly code = 'RESOURCE_UNAVAILABLE'
  override readonly retryable = true
  readonly resource: string

  /** @param options `kind`: what is not available, a database when left out */
  constructor(resource: string, what: string, options?: ErrorOptions & { readonly kind?: 'database' | 'service' }) {
    super(`${options?.kind ?? 'database'} "${resource}" is not available: ${what}`, options)
    this.resource = resource
  }
}

/** The database is set up so that transactions over it can't work. Somebody must change its settings, version or rights. */
export class ResourceMisconfiguredError extends ConcordatError {
  readonly code = 'RESOURCE_MISCONFIGURED'
  readonly resource: string

  constructor(resource: string, what: string, options?: ErrorOptions) {
    super(`database "${resource}" can't take part in transactions: ${what}`, options)
    this.resource = resource
  }
}

/** All places for prepared branches are taken (PostgreSQL: max_prepared_transactions). The branch was rolled back. */
export class ResourceExhaustedError extends ConcordatError {
  readonly code = 'RESOURCE_EXHAUSTED'
  override readonly retryable = true
}

/** The driver that a resource needs is not installed, or has an unknown shape. */
export class DriverMissingError extends ConcordatError {
  readonly code = 'DRIVER_MISSING'
}

/** A branch, or its session, was used after the branch had ended. Nothing was sent to the database. */
export class BranchEndedError extends ConcordatError {
  readonly code = 'BRANCH_ENDED'
  readonly gid: Gid

  constructor(gid: Gid) {
    super(`branch ${gid} has ended; its session can't be used any more. Enlist the database in a new transaction.`)
    this.gid = gid
  }
}

/** The database rolled the branch back; see `cause`. */
export class BranchAbortedError extends ConcordatError {
  readonly code = 'BRANCH_ABORTED'
  readonly gid: Gid

  constructor(gid: Gid, options?: ErrorOptions) {
    super(`branch ${gid} was rolled back; none of its changes remain`, options)
    this.gid = gid
  }
}

/** The connection was lost while the branch committed in one phase: it may be committed or not. */
export class BranchOutcomeUnknownError extends ConcordatError {
  readonly code = 'BRANCH_OUTCOME_UNKNOWN'
  readonly gid: Gid

  constructor(gid: Gid, options?: ErrorOptions) {
    super(`it is not known whether branch ${gid} was committed; look for its changes in the database`, options)
    this.gid = gid
  }
}

/** A statement that would end the branch, or give its session away, was refused. Nothing was sent. The branch can only abort. */
export class BranchStatementRefusedError extends ConcordatError {
  readonly code = 'BRANCH_STATEMENT_REFUSED'

  constructor(what: string) {
    super(
      `${what} is refused inside a branch: concordat begins, ends and releases it, together with the other branches`,
    )
  }
}

/**
 * The database's transaction was ended or replaced while the branch was at work (a COMMIT hidden in a longer text, or
 * a cancelled BEGIN). What was done before that may be committed whatever the transaction's outcome.
 */
export class BranchEscapedError extends ConcordatError {
  readonly code = 'BRANCH_ESCAPED'
  readonly gid: Gid

  constructor(gid: Gid, options?: ErrorOptions) {
    super(
      `the work of branch ${gid} did not stay in its database transaction, so parts of it may be committed already. ` +
        'Look for COMMIT, ROLLBACK or cancelled statements in the application.',
      options,
    )
    this.gid = gid
  }
}

/** The branch used something that the database can't prepare (a temporary table, LISTEN, NOTIFY …). It was rolled back. */
export class BranchNotPreparableError extends ConcordatError {
  readonly code = 'BRANCH_NOT_PREPARABLE'
  readonly gid: Gid

  constructor(gid: Gid, what: string, options?: ErrorOptions) {
    super(`branch ${gid} can't be prepared: ${what}`, options)
    this.gid = gid
  }
}

/**
 * A statement waited too long for a nested transaction of the same branch to end. Nothing was sent. Usually it is made inside
 * that nested transaction, but through the pool and not through the nested transaction's own handle.
 */
export class NestedTransactionOpenError extends ConcordatError {
  readonly code = 'BRANCH_NESTED_OPEN'
  readonly resource: string

  constructor(resource: string, waitedMs: number) {
    super(
      `database "${resource}": another nested transaction is open in this branch, and did not end within ${waitedMs} ms. ` +
        'Inside a nested transaction use its own handle; beside it, await its end first.',
    )
    this.resource = resource
  }
}

/** A connection that was lent inside a transaction was used after its release. Nothing was sent. */
export class ConnectionReleasedError extends ConcordatError {
  readonly code = 'CONNECTION_RELEASED'
  readonly resource: string

  constructor(resource: string) {
    super(`this connection to database "${resource}" was released and can't be used any more; take a new one`)
    this.resource = resource
  }
}
