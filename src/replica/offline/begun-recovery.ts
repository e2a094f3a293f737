import { basename, dirname } from 'node:path'
import { clearUnfinished, type Disk, markUnfinished, unfinishedNote } from '../../wal/index.ts'
import { RecoveryRefusedError } from './errors.ts'

// A damaged log is replaced in several steps, and in between its directory holds less than can be read. So first of all
// it is durably written where the copy is; whoever goes on begins anew from that copy, and no node starts meanwhile.

/** Durably says that from now on only `copy`, beside the directory, holds all that can be read. */
export function beginRecovery(disk: Disk, directory: string, copy: string): Promise<void> {
  return markUnfinished(disk, directory, basename(copy))
}

/** The directory is whole: it opens again, and nobody needs the copy any more. */
export function endRecovery(disk: Disk, directory: string): Promise<void> {
  return clearUnfinished(disk, directory)
}

/**
 * The copy from which a recovery that was begun goes on; undefined when none is under way.
 * @throws RecoveryRefusedError when it is gone
 */
export async function begunFrom(disk: Disk, directory: string): Promise<string | undefined> {
  const name = await unfinishedNote(disk, directory)
  if (name === undefined) return undefined
  const parent = dirname(directory)
  if ((await disk.list(parent)).includes(name)) return `${parent === '/' ? '' : parent}/${name}`
  throw new RecoveryRefusedError(
    `A recovery of ${directory} was begun and has not ended, and the copy that it made first (${name}, beside it) is gone. Put that copy back, use another node's directory, or restore a backup.`,
  )
}
