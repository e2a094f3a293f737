import type { Disk } from './disk.ts'
import { WalDamagedError } from './errors.ts'
import { storeSalt } from './format.ts'
import type { StoredRecord } from './log-reader.ts'
import { readLog } from './recovery.ts'
import { isAside, readAnyHeader, segmentNumber, segmentPath, type WalIdentity } from './segment.ts'

/** What a directory's log says of itself, to whoever only looks. */
export interface LogSurvey {
  readonly identity: WalIdentity
  readonly storeId: string
  /** What keeps the log from being opened; the records before it were read. */
  readonly damage: WalDamagedError | undefined
}

/**
 * Reads a log whose owner is not known beforehand, and changes nothing, not even a torn end. For tools that look at a
 * directory of a node that does not run; hold its lock meanwhile.
 *
 * @returns undefined when the directory holds no log whose owner can be told
 */
export async function surveyLog(
  disk: Disk,
  directory: string,
  onRecord: (record: StoredRecord) => void,
): Promise<LogSurvey | undefined> {
  const names = await disk.list(directory)
  const numbers = names.flatMap((name) => segmentNumber(name) ?? []).sort((a, b) => a - b)
  const owner = await findOwner(disk, directory, numbers)
  if (owner === undefined) return undefined
  const { identity, storeId } = owner
  const aside = names.find(isAside)
  if (aside !== undefined) {
    const what = 'a damaged log was being set aside, and it was not finished'
    return { ...owner, damage: new WalDamagedError(`${directory}/${aside}`, 0, what) }
  }
  try {
    await readLog({ disk, directory, identity, storeId, salt: storeSalt(storeId) }, numbers, onRecord)
    return { ...owner, damage: undefined }
  } catch (error) {
    if (!(error instanceof WalDamagedError)) throw error
    return { ...owner, damage: error }
  }
}

/** The first header that is still readable tells whose log it is. */
async function findOwner(
  disk: Disk,
  directory: string,
  numbers: readonly number[],
): Promise<Pick<LogSurvey, 'identity' | 'storeId'> | undefined> {
  for (const number of numbers) {
    const decoded = await readAnyHeader(disk, segmentPath(directory, number))
    if (decoded.kind !== 'header') continue
    const { clusterId, nodeId, storeId } = decoded.header
    return { identity: { clusterId, nodeId }, storeId }
  }
  return undefined
}
