import type { Disk } from './disk.ts'
import { WalDamagedError } from './errors.ts'
import { storeSalt } from './format.ts'
import type { StoredRecord } from './log-reader.ts'
import { readLog } from './recovery.ts'
import { isAside, readAnyHeader, segmentNumber, segmentPath, type WalIdentity } from './segment.ts'
import { segmentPlaces } from './set-aside.ts'

/** What a directory's log says of itself, to whoever only looks. */
export interface LogSurvey {
  readonly identity: WalIdentity
  readonly storeId: string
  /** What keeps the log from being opened; the records before it were read. */
  readonly damage: WalDamagedError | undefined
}

/**
 * Reads a log whose owner is not known beforehand, and changes nothing, not even a torn end. For tools that look at a
 * directory of a node that does not run; hold its lock meanwhile. Of a damaged log that was being set aside it reads what
 * is good before the damage, wherever that is by now: nothing of it counts for the node, but it may be all that is left.
 *
 * @returns undefined when the directory holds no log whose owner can be told
 */
export async function surveyLog(
  disk: Disk,
  directory: string,
  onRecord: (record: StoredRecord) => void,
): Promise<LogSurvey | undefined> {
  const places = await segmentPlaces(disk, directory)
  const numbers = [...places.keys()].map((name) => segmentNumber(name)!).sort((a, b) => a - b)
  const view = placed(disk, directory, places)
  const owner = await findOwner(view, directory, numbers)
  if (owner === undefined) return undefined
  const { identity, storeId } = owner
  const aside = (await disk.list(directory)).find(isAside)
  const what = 'a damaged log was being set aside, and it was not finished'
  const damage = aside === undefined ? undefined : new WalDamagedError(`${directory}/${aside}`, 0, what)
  try {
    await readLog({ disk: view, directory, identity, storeId, salt: storeSalt(storeId) }, numbers, onRecord)
    return { ...owner, damage }
  } catch (error) {
    if (!(error instanceof WalDamagedError)) throw error
    return { ...owner, damage: damage ?? error }
  }
}

/** The disk with the segments where they belong, also those that have moved already. */
function placed(disk: Disk, directory: string, places: ReadonlyMap<string, string>): Disk {
  const byPath = new Map([...places].map(([name, path]) => [`${directory}/${name}`, path]))
  return {
    list: (path) => disk.list(path),
    openFile: (path, options) => disk.openFile(byPath.get(path) ?? path, options),
    makeDirectory: (path) => disk.makeDirectory(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    remove: (path) => disk.remove(path),
    rename: (from, to) => disk.rename(from, to),
    lock: (path) => disk.lock(path),
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
