import { storeSalt } from './format.ts'
import { makeSegment } from './segment.ts'
import { firstContent } from './set-aside.ts'
import { newStoreId, segmentBytesOf, type WalOptions, type WalRecord } from './wal-options.ts'

/** What `makeLog` works on: as given to Wal.open. */
export interface MakeLogOptions
  extends Pick<WalOptions, 'disk' | 'directory' | 'identity' | 'segmentBytesMax' | 'random'> {
  readonly firstRecords: readonly WalRecord[]
}

/**
 * Makes a log that has `firstRecords` from its first moment on, in a directory that holds none: a crash leaves this log,
 * or none at all. Whoever calls it holds the directory's lock, and has made sure that the directory may be used.
 *
 * @returns the new directory's id
 */
export async function makeLog(options: MakeLogOptions): Promise<string> {
  const { disk, directory, identity, firstRecords } = options
  const storeId = newStoreId(options)
  const store = { disk, directory, identity, storeId, salt: storeSalt(storeId) }
  const segment = { number: 1, base: 0, size: segmentBytesOf(options) }
  await makeSegment(store, segment, firstContent(store, segment, firstRecords))
  return storeId
}
