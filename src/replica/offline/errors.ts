import { ConcordatError } from '../../base/index.ts'

/** An offline tool can't do what was asked with this directory. Nothing was changed. */
export class RecoveryRefusedError extends ConcordatError {
  readonly code = 'RECOVERY_REFUSED'

  constructor(what: string, options?: ErrorOptions) {
    super(`${what} Nothing was changed.`, options)
  }
}

/** A file is no backup, or does not read back as it was written. */
export class BackupDamagedError extends ConcordatError {
  readonly code = 'BACKUP_DAMAGED'

  constructor(file: string, what: string, options?: ErrorOptions) {
    super(`the backup ${file} can't be used: ${what}. Take another copy of it, or an older backup.`, options)
  }
}
