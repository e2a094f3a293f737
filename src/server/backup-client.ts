import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { ConcordatError, systemClock, toError } from '../base/index.ts'
import type { Connection } from '../transport/index.ts'
import { FileDraft, nodeDisk } from '../wal/index.ts'
import { AdminRefusedError, type AskOptions, answerOf, CoordinatorUnreachableError, connect } from './admin-client.ts'
import type { BackupBegin, BackupPiece } from './backup-desk.ts'
import { type BackupSummary, verifyBackup } from './offline.ts'
import { atPath } from './path-error.ts'

/** A file is there already. */
class FileExistsError extends ConcordatError {
  readonly code = 'FILE_EXISTS'
}

/** A backup that was taken. */
export interface TakenBackup extends BackupSummary {
  /** The coordinator that it came from. */
  readonly from: string
}

/**
 * Takes a backup from the first coordinator that gives one, into `file`. It gets its name when it is whole, on disk and
 * read back.
 *
 * @param onProgress gets the bytes so far
 * @throws CoordinatorUnreachableError, AdminRefusedError, FileExistsError, BackupDamagedError, what the disk throws
 */
export async function takeBackup(
  addresses: readonly string[],
  file: string,
  options: AskOptions,
  onProgress: (bytes: number) => void = () => {},
): Promise<TakenBackup> {
  const path = resolve(file)
  if (existsSync(path)) throw new FileExistsError(`${path} exists already and is not overwritten; choose another name`)
  const failures: string[] = []
  for (const address of addresses) {
    try {
      await takeFrom(address, path, options, onProgress)
      return { from: address, ...(await verifyBackup(path)) }
    } catch (error) {
      const passes =
        error instanceof CoordinatorUnreachableError || (error instanceof AdminRefusedError && error.retryable)
      if (!passes) throw error
      const { message } = toError(error)
      failures.push(message.startsWith(address) ? message : `${address}: ${message}`)
    }
  }
  throw new CoordinatorUnreachableError(`no coordinator gave a backup\n  ${failures.join('\n  ')}`)
}

async function takeFrom(
  address: string,
  path: string,
  options: AskOptions,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const clock = options.clock ?? systemClock
  const connection = await connect(address, options, clock)
  const ask = (method: string, parameters: object) => answerOf(connection, method, parameters, options.timeoutMs, clock)
  const draft = await atPath(path, 'written', () => FileDraft.begin(nodeDisk, path)).catch((error) => {
    hangUp(connection)
    throw error
  })
  try {
    const { id } = (await ask('backup.begin', {})) as BackupBegin
    await copy(() => ask('backup.next', { id }) as Promise<BackupPiece>, draft, onProgress).catch(async (error) => {
      await ask('backup.end', { id }).catch(() => undefined)
      throw error
    })
    await draft.publish()
  } catch (error) {
    // What failed is more telling than what the clean-up says.
    await draft.discard().catch(() => undefined)
    throw error
  } finally {
    hangUp(connection)
  }
}

async function copy(next: () => Promise<BackupPiece>, draft: FileDraft, onProgress: (bytes: number) => void) {
  for (let { data } = await next(); data !== null; { data } = await next()) {
    await draft.append(Buffer.from(data, 'base64'))
    onProgress(draft.length)
  }
}

function hangUp(connection: Connection): void {
  connection.close('the backup is taken')
}
