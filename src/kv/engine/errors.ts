import { ConcordatError, type Txid } from '../../base/index.ts'

/** Two or more transactions waited for each other, and this one, the youngest of them, had to give way. */
export class KvDeadlockError extends ConcordatError {
  readonly code = 'KV_DEADLOCK'
  override readonly retryable = true
  /** The transactions of the circle: each waited for the next, and the last for the first. */
  readonly circle: readonly Txid[]

  constructor(txid: Txid, circle: readonly Txid[]) {
    super(
      `${txid} was rolled back: it waited for others that waited for it (${circle.join(' → ')}), and is the youngest ` +
        'of them. Nothing of it happened. Run it again; take locks in the same order everywhere to avoid this.',
    )
    this.circle = circle
  }
}

/** A lock was not to be had in time. */
export class KvLockTimeoutError extends ConcordatError {
  readonly code = 'KV_LOCK_TIMEOUT'
  override readonly retryable = true
  /** Who was in the way at the end. */
  readonly holders: readonly Txid[]

  constructor(txid: Txid, waitedMs: number, holders: readonly Txid[]) {
    super(
      `${txid} waited ${waitedMs} ms for a lock and was rolled back; in its way: ${holders.join(', ')}. Nothing of it ` +
        'happened. Run it again; when a holder is in doubt, look why its outcome does not come.',
    )
    this.holders = holders
  }
}

/** The branch takes no more work: it is prepared, has ended, or was rolled back because of `cause`. */
export class KvBranchEndedError extends ConcordatError {
  readonly code = 'KV_BRANCH_ENDED'

  constructor(txid: Txid, what: string, options?: ErrorOptions) {
    super(`the branch of ${txid} ${what}; nothing was done. Begin a new transaction.`, options)
  }
}

/** The transaction has already ended here, or is so old that nobody knows any more whether it has. */
export class KvTransactionEndedError extends ConcordatError {
  readonly code = 'KV_TRANSACTION_ENDED'

  constructor(txid: Txid, what: string) {
    super(`${txid} ${what}, so it takes no more work. Nothing was done. Begin a new transaction, with a new txid.`)
  }
}

/** A key, a value, a range or an option that can't be. */
export class KvInvalidError extends ConcordatError {
  readonly code = 'KV_INVALID'
}

/** The branch would write or lock more than one transaction may. */
export class KvBranchTooLargeError extends ConcordatError {
  readonly code = 'KV_BRANCH_TOO_LARGE'

  constructor(txid: Txid, bytesMax: number) {
    super(
      `${txid} was rolled back: its writes and locks take more than ${bytesMax} bytes. Nothing of it happened. Split the work, or ` +
        'raise branchBytesMax.',
    )
  }
}

/** So much is under way that no more is taken. */
export class KvBusyError extends ConcordatError {
  readonly code = 'KV_BUSY'
  override readonly retryable = true

  constructor(what: string) {
    super(
      `the key-value participant takes no more now: ${what}; nothing was done. Try again a little later, with less at a time`,
    )
  }
}

/** Log and data do not belong together: one of them was lost, replaced, or is older than the other. */
export class KvStoreMismatchError extends ConcordatError {
  readonly code = 'KV_STORE_MISMATCH'

  constructor(what: string) {
    super(
      `the participant does not start: ${what}. Its log and its data must be of one and the same time. Nothing was ` +
        'changed. Put both back as they were together; never delete or restore only one of them.',
    )
  }
}

/** The stored data can't be read or written, or does not read back as it was written. */
export class KvStoreFailedError extends ConcordatError {
  readonly code = 'KV_STORE_FAILED'

  constructor(what: string, options?: ErrorOptions) {
    super(
      `the data store failed: ${what}. The participant must stop. Check the disk and its free space, then start it ` +
        'again: what was committed is in its log. If it fails again, restore a backup of log and data together.',
      options,
    )
  }
}

/** A whole record of the log makes no sense: it was written by another version, or by a defect. */
export class KvLogMalformedError extends ConcordatError {
  readonly code = 'KV_LOG_MALFORMED'

  constructor(what: string, options?: ErrorOptions) {
    super(
      `the participant's log makes no sense: ${what}. Nothing was changed. Start the version that wrote it; if it is ` +
        'this one, keep the directory and report it.',
      options,
    )
  }
}

/** The unique rules are others than those with which the data was made. */
export class KvRulesChangedError extends ConcordatError {
  readonly code = 'KV_RULES_CHANGED'

  constructor(found: readonly string[], wanted: readonly string[]) {
    const list = (prefixes: readonly string[]): string => (prefixes.length === 0 ? 'none' : prefixes.join(', '))
    super(
      `the data was made with unique rules for ${list(found)}, and they are now for ${list(wanted)}. Nothing was ` +
        'changed. Unique rules stay as they are: their index would not hold what was written before.',
    )
  }
}

/** The participant is closed, or about to. */
export class KvClosedError extends ConcordatError {
  readonly code = 'KV_CLOSED'

  constructor() {
    super('the participant is closed; nothing was done. Open it again with KvParticipant.open()')
  }
}
