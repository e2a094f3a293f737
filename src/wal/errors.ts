import { ConcordatError } from '../base/index.ts'

/**
 * Where damage lies. `beforeLastMark`: a mark on disk proves that the bytes were there, so acknowledged records are
 * lost. `behindLastMark`: no mark speaks of them; the last write may or may not have been acknowledged. `unknown`: a
 * header or a whole file is bad, or a mark itself.
 */
export type DamagePlace = 'beforeLastMark' | 'behindLastMark' | 'unknown'

/**
 * Bytes that were surely on disk are bad, or missing. The log is never cut for it, because a cut could lose a
 * promise that was given: the node must not start with this log as if nothing had happened.
 */
export class WalDamagedError extends ConcordatError {
  readonly code = 'WAL_DAMAGED'
  /** The damaged file. */
  readonly file: string
  /** Where in the file the damage begins, in bytes. */
  readonly offset: number
  readonly place: DamagePlace
  /** What was found and where, without what to do about it. */
  readonly finding: string

  constructor(file: string, offset: number, what: string, place: DamagePlace = 'unknown') {
    const finding = `the log is damaged: ${file}, byte ${offset}: ${what}. This is not a torn last write, so it is not repaired.`
    super(
      `${finding} Nothing was changed. Do not delete or edit the file by hand, and do not put an older copy in its ` +
        'place. Check the disk; concordat recover tells what can still be read. Then restore a backup, or replace ' +
        'the node by one with a new node id.',
    )
    this.file = file
    this.offset = offset
    this.place = place
    this.finding = finding
  }
}

/** The same, when others can give back what is lost: the node goes on by itself, without a vote. */
export class WalSetAsideError extends ConcordatError {
  readonly code = 'WAL_DAMAGED'

  constructor({ finding }: WalDamagedError, movedTo: string) {
    super(
      `${finding} The damaged files were set aside in ${movedTo}; this node comes back without a vote and fetches ` +
        'what it lacks. Leave it alone.',
    )
  }
}

/** Another live process uses the directory. */
export class WalLockedError extends ConcordatError {
  readonly code = 'WAL_LOCKED'
  override readonly retryable = true
  /** The process that holds the lock. */
  readonly pid: number

  constructor(directory: string, pid: number, lockFile: string) {
    super(
      `${directory} is in use by process ${pid}: two writers would destroy the log. Stop that process, or give this ` +
        `node its own directory. If process ${pid} is surely not a coordinator, delete ${lockFile}.`,
    )
    this.pid = pid
  }
}

/** A recovery without a quorum was begun in the directory and has not ended: what is in it now may be a part only. */
export class RecoveryUnfinishedError extends ConcordatError {
  readonly code = 'RECOVERY_UNFINISHED'

  constructor(directory: string) {
    super(
      `a recovery of ${directory} was begun and has not ended: its log may lack entries that can still be read. ` +
        'Nothing was changed. Give the command (concordat recover --force-new-cluster) again, and until it has ended ' +
        'keep the copy that it made beside the directory.',
    )
  }
}

/** The directory belongs to another node or cluster. */
export class WalIdentityError extends ConcordatError {
  readonly code = 'WAL_IDENTITY'

  constructor(directory: string, found: string, wanted: string) {
    super(
      `${directory} holds the log of ${found}, but this is ${wanted}: a node with another's log would give away ` +
        "the other's vote. Nothing was changed. Point the node at its own directory, or correct its ids.",
    )
  }
}

/** The directory holds files but no log of ours: it is left alone. */
export class WalNotEmptyError extends ConcordatError {
  readonly code = 'WAL_NOT_EMPTY'
  /** A name in it. */
  readonly found: string

  constructor(directory: string, found: string) {
    super(
      `${directory} is no log directory, but it is not empty (it holds ${found}). Nothing was changed. ` +
        'Use an empty directory, or the one that this node used before.',
    )
    this.found = found
  }
}

/** The log was written by a version whose format this one cannot read. */
export class WalVersionError extends ConcordatError {
  readonly code = 'WAL_VERSION'

  constructor(file: string, found: string, known: string) {
    super(
      `${file} has log format ${found}, and this version reads ${known}. Nothing was changed. ` +
        'Start the version of concordat that wrote it, or upgrade as its release notes say.',
    )
  }
}

/**
 * A write, sync or open failed, or the disk is full beyond the reserve. What reached the disk is unknown, so nothing
 * is acknowledged any more and nothing is retried: end the process and start again, then the log is read from disk.
 */
export class WalFailedError extends ConcordatError {
  readonly code = 'WAL_FAILED'

  constructor(what: string, options: ErrorOptions) {
    super(
      `the log failed: ${what}. Nothing is acknowledged any more, and the node must stop. ` +
        'Check the disk and its free space, then start the node again.',
      options,
    )
  }
}

/** The log was closed before the call. */
export class WalClosedError extends ConcordatError {
  readonly code = 'WAL_CLOSED'

  constructor() {
    super('the log is closed: nothing was written. Open it again with Wal.open()')
  }
}

/** The record was removed with its segment: the owner said that nobody needs it any more. */
export class WalRemovedError extends ConcordatError {
  readonly code = 'WAL_REMOVED'

  constructor(position: number, begin: number) {
    super(
      `position ${position} was removed: the log begins at ${begin} now. Read what replaces it, such as a snapshot.`,
    )
  }
}

/** A record that fits in no segment. */
export class WalRecordTooLargeError extends ConcordatError {
  readonly code = 'WAL_RECORD_TOO_LARGE'

  constructor(payloadBytes: number, payloadBytesMax: number) {
    super(
      `a record of ${payloadBytes} bytes is too large: at most ${payloadBytesMax} fit in a segment. ` +
        'Nothing was written. Split it, or raise segmentBytesMax.',
    )
  }
}
