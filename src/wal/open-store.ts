import { assert } from '../base/index.ts'
import type { Disk } from './disk.ts'
import { RecoveryUnfinishedError, WalDamagedError, WalNotEmptyError } from './errors.ts'
import { DATA_OFFSET, storeSalt } from './format.ts'
import { isLockFile } from './lock-file.ts'
import type { StoredRecord } from './log-reader.ts'
import { recover } from './recovery.ts'
import {
  isAside,
  isUnfinished,
  makeSegment,
  readHeader,
  removeUnfinished,
  type Segment,
  type Store,
  segmentNumber,
  segmentPath,
  type WalIdentity,
} from './segment.ts'
import { UNFINISHED } from './unfinished.ts'

/** A log that was read or made, ready to be appended to. */
export interface OpenedStore {
  readonly store: Store
  readonly segments: Segment[]
  /** Index of the segment to append to; it and all later ones are open for durable writes. */
  readonly active: number
  readonly fresh: boolean
}

/**
 * Opens the log in a directory that is locked already, or makes one in an empty directory.
 *
 * The first segment's header is the directory's identity: it gets its name in one step, so a directory either has an
 * identity and a log, or neither.
 */
export async function openStore(
  disk: Disk,
  directory: string,
  identity: WalIdentity,
  segmentBytesMax: number,
  newStoreId: () => string,
  onRecord: (record: StoredRecord) => void,
): Promise<OpenedStore> {
  const names = await disk.list(directory)
  if (names.includes(UNFINISHED)) throw new RecoveryUnfinishedError(directory)
  const aside = names.find(isAside)
  if (aside !== undefined) {
    throw new WalDamagedError(`${directory}/${aside}`, 0, 'a damaged log was being set aside, and it was not finished')
  }
  const numbers = names.flatMap((name) => segmentNumber(name) ?? []).sort((a, b) => a - b)
  const place = { disk, directory, identity }
  const first = numbers[0]
  if (first === undefined) {
    const stranger = names.find((name) => !isOurs(name))
    if (stranger !== undefined) throw new WalNotEmptyError(directory, stranger)
    await removeUnfinished(disk, directory)
    const store = withId(place, newStoreId())
    const segment: Segment = { number: 1, base: 0, size: segmentBytesMax, dataEnd: DATA_OFFSET, file: undefined }
    await makeSegment(store, segment)
    return opened(store, [segment], 0, true)
  }
  // Identity and version come first: a stranger's directory is not touched, not even its leftovers.
  const { storeId } = await readHeader(disk, directory, first, identity)
  await removeUnfinished(disk, directory)
  // A rename of the last run may be known to the page cache alone.
  await disk.syncDirectory(directory)
  const store = withId(place, storeId)
  const { segments, active } = await recover(store, numbers, segmentBytesMax, onRecord)
  return opened(store, segments, active, false)
}

/** Names that an unfinished first start leaves, and what every new file system has at its root. */
function isOurs(name: string): boolean {
  return isLockFile(name) || isUnfinished(name) || name === 'lost+found'
}

function withId(place: Pick<Store, 'disk' | 'directory' | 'identity'>, storeId: string): Store {
  assert(storeId.length === 32, 'a store id has 16 bytes')
  return { ...place, storeId, salt: storeSalt(storeId) }
}

async function opened(store: Store, segments: Segment[], active: number, fresh: boolean): Promise<OpenedStore> {
  for (const segment of segments.slice(active)) {
    segment.file = await store.disk.openFile(segmentPath(store.directory, segment.number), { durable: true })
  }
  return { store, segments, active, fresh }
}
