import { assert, ConcordatError, toError } from '../base/index.ts'
import { Batch } from './batch.ts'
import type { Disk } from './disk.ts'
import { type WalDamagedError, WalFailedError, WalIdentityError, WalVersionError } from './errors.ts'
import {
  BEGIN_TYPE,
  DATA_OFFSET,
  EMPTY_BATCH_BYTES,
  encodeBegin,
  FORMAT_MAJOR,
  MARK_TYPE,
  payloadBytes,
  SEGMENT_BYTES_MAX,
  type SegmentHeader,
  storeSalt,
} from './format.ts'
import {
  asidePath,
  isAside,
  makeSegment,
  nameOf,
  readAnyHeader,
  removeUnfinished,
  type Store,
  segmentNumber,
  segmentPath,
  type WalIdentity,
} from './segment.ts'
import { newStoreId, segmentBytesOf, type WalOptions, type WalRecord } from './wal-options.ts'

/** What `setAsideDamagedLog` works on: as given to Wal.open. */
export interface SetAsideOptions
  extends Pick<WalOptions, 'disk' | 'directory' | 'identity' | 'segmentBytesMax' | 'random'> {
  /**
   * What the fresh log begins with: at least the owner's note that the node forgot what it promised. The log comes
   * into being together with them, so no crash leaves a log that looks as if nothing had been lost.
   */
  readonly firstRecords: readonly WalRecord[]
}

/** What became of a damaged log. */
export interface SetAside {
  readonly storeId: string
  /** False: no header was readable, so the directory has a new id, and to its peers it is a stranger under a known id. */
  readonly storeIdKept: boolean
  /** Where the damaged files are now. */
  readonly movedTo: string
}

/**
 * Moves the files of a log that Wal.open found damaged into a subdirectory `damaged-<n>`, and puts a fresh log in
 * their place, which keeps the store's id and begins with `firstRecords`. Nothing is deleted, nothing is decided: the
 * owner has to see to it that a node that forgot votes and entries does no harm.
 *
 * 1. The directory `damaged-<n>` is made.
 * 2. The fresh log's first segment is made whole as `<number>.aside`. As long as there is one, Wal.open refuses.
 * 3. All segments are moved, and both directories synced.
 * 4. `<number>.aside` gets its proper name: from then on there is a log again.
 *
 * A crash at any step leaves a directory that Wal.open refuses with WalDamagedError, or the fresh log; a second call
 * goes on where the first one stopped. Numbers and positions of the fresh log lie above all older ones, so nothing of
 * the damaged log can pass for a part of it.
 *
 * @param damage what Wal.open threw
 * @throws WalLockedError, WalIdentityError, WalVersionError, WalFailedError
 */
export async function setAsideDamagedLog(options: SetAsideOptions, damage: WalDamagedError): Promise<SetAside> {
  const { disk, directory } = options
  assert(damage.file.startsWith(`${directory}/`), 'the damage is in this log')
  assert(options.firstRecords.length > 0, 'a fresh log says why it is there')
  const release = await disk.lock(directory)
  try {
    return await setAside(options)
  } catch (error) {
    if (error instanceof ConcordatError || toError(error).name === 'InvariantError') throw error
    throw new WalFailedError(`${directory} could not be set aside: ${toError(error).message}`, { cause: error })
  } finally {
    await release().catch(() => undefined)
  }
}

async function setAside(options: SetAsideOptions): Promise<SetAside> {
  const { disk, directory } = options
  const names = await disk.list(directory)
  const last = lastDamaged(names)
  // An interrupted run made its directory before its segment, so it is the last one.
  const interrupted = last > 0 && names.some(isAside)
  const survey = await Survey.of(options, interrupted ? [directory, damagedPath(directory, last)] : [directory])
  await removeUnfinished(disk, directory)
  const movedTo = interrupted ? damagedPath(directory, last) : await nextDamaged(disk, directory, last)
  await disk.makeDirectory(movedTo)
  const fresh = survey.prepared ?? (await prepare(options, survey, names.filter(isAside)))
  await moveSegments(disk, directory, movedTo)
  await disk.rename(asidePath(directory, fresh.number), segmentPath(directory, fresh.number))
  await disk.syncDirectory(directory)
  return { storeId: fresh.storeId, storeIdKept: survey.knows(fresh.storeId), movedTo }
}

/** What the headers still say. */
class Survey {
  /** Headers of our segments. */
  readonly #ours: SegmentHeader[] = []
  #stranger: SegmentHeader | undefined
  #prepared: SegmentHeader | undefined
  #topNumber = 0

  /** @throws WalVersionError, WalIdentityError: then nothing is touched */
  static async of({ disk, directory, identity }: SetAsideOptions, directories: readonly string[]): Promise<Survey> {
    const survey = new Survey()
    for (const each of directories) {
      for (const name of [...(await disk.list(each))].sort()) await survey.#add(disk, each, name, identity)
    }
    if (survey.#stranger !== undefined && survey.#prepared === undefined && survey.#ours.length === 0) {
      throw new WalIdentityError(directory, nameOf(survey.#stranger), nameOf(identity))
    }
    return survey
  }

  async #add(disk: Disk, directory: string, name: string, identity: WalIdentity): Promise<void> {
    const number = segmentNumber(name)
    if (number === undefined && !isAside(name)) return
    this.#topNumber = Math.max(this.#topNumber, number ?? 0)
    const path = `${directory}/${name}`
    const decoded = await readAnyHeader(disk, path)
    if (decoded.kind === 'otherVersion') throw new WalVersionError(path, decoded.version, `${FORMAT_MAJOR}.x`)
    if (decoded.kind === 'bad') return
    const { header } = decoded
    if (header.clusterId !== identity.clusterId || header.nodeId !== identity.nodeId) this.#stranger = header
    else if (number === undefined) this.#prepared = header
    else this.#ours.push(header)
  }

  /** The fresh segment that an interrupted run has made. */
  get prepared(): SegmentHeader | undefined {
    return this.#prepared
  }

  /** The greatest number in any segment's name. */
  get topNumber(): number {
    return this.#topNumber
  }

  knows(storeId: string): boolean {
    return this.#ours.some((header) => header.storeId === storeId)
  }

  /** The id that most headers have; of equals the first. A file of another store may have got in between. */
  get storeId(): string | undefined {
    const counts = new Map<string, number>()
    for (const { storeId } of this.#ours) counts.set(storeId, (counts.get(storeId) ?? 0) + 1)
    const most = Math.max(...counts.values())
    return [...counts].find(([, count]) => count === most)?.[0]
  }

  /** A position that lies above all that the log may have used, also in segments whose header is gone. */
  get end(): number {
    let end = this.#topNumber * SEGMENT_BYTES_MAX
    for (const { number, base, size } of this.#ours) {
      const unknown = Math.max(0, this.#topNumber - number)
      end = Math.max(end, base + size + unknown * SEGMENT_BYTES_MAX)
    }
    return end
  }
}

/** Makes the fresh log's only segment under a name that does not count yet. An unreadable one holds nothing of worth. */
async function prepare(
  options: SetAsideOptions,
  survey: Survey,
  unreadable: readonly string[],
): Promise<SegmentHeader> {
  const { disk, directory, identity } = options
  const storeId = survey.storeId ?? newStoreId(options)
  const store: Store = { disk, directory, identity, storeId, salt: storeSalt(storeId) }
  const segment = {
    number: survey.topNumber + 1,
    base: survey.end,
    size: segmentBytesOf(options),
  }
  const content = firstContent(store, segment, options.firstRecords)
  const made = await makeSegment(store, segment, content, asidePath(directory, segment.number))
  for (const name of unreadable) {
    const path = `${directory}/${name}`
    // Only after the new one is there: without any, what is left of the log could pass for all of it.
    if (path !== asidePath(directory, segment.number)) await disk.remove(path)
  }
  return made
}

/** The records, in front of them one that the log begins here, behind them a mark that proves them. */
export function firstContent(
  store: Store,
  segment: { readonly number: number; readonly base: number; readonly size: number },
  records: readonly WalRecord[],
): Buffer {
  const place = { segment: segment.number, base: segment.base, size: segment.size, offset: DATA_OFFSET }
  const batch = new Batch(place, 0, store.salt, Buffer.allocUnsafeSlow(1024))
  const begin = encodeBegin(segment.base)
  batch.add(BEGIN_TYPE, begin, begin.length)
  for (const { type, payload } of records) {
    assert(type >= 1 && type < MARK_TYPE, 'a record type is 1 to 239')
    batch.add(type, payload, payloadBytes(payload))
  }
  assert(batch.end + EMPTY_BATCH_BYTES <= segment.size, 'the first records fit in a segment')
  const proof = new Batch({ ...place, offset: batch.end }, 0, store.salt, Buffer.allocUnsafeSlow(EMPTY_BATCH_BYTES))
  return Buffer.concat([batch.finish(segment.base + DATA_OFFSET), proof.finish(segment.base + batch.end)])
}

const DAMAGED_NAME = /^damaged-(\d{1,9})$/

function damagedPath(directory: string, number: number): string {
  return `${directory}/damaged-${number}`
}

/** The greatest number of a directory with damaged logs; 0 when there is none. */
function lastDamaged(names: readonly string[]): number {
  return Math.max(0, ...names.map((name) => Number(DAMAGED_NAME.exec(name)?.[1] ?? 0)))
}

/** A directory that holds nothing yet; of an interrupted run there may be an empty one. */
async function nextDamaged(disk: Disk, directory: string, last: number): Promise<string> {
  const empty = last > 0 && (await disk.list(damagedPath(directory, last))).length === 0
  return damagedPath(directory, empty ? last : last + 1)
}

/**
 * Where the segments of a directory's log are, by the names that they have in it. When it was being set aside, and that
 * was not finished, some of them have moved already.
 */
export async function segmentPlaces(disk: Disk, directory: string): Promise<ReadonlyMap<string, string>> {
  const names = await disk.list(directory)
  const last = lastDamaged(names)
  const homes = last > 0 && names.some(isAside) ? [damagedPath(directory, last), directory] : [directory]
  const places = new Map<string, string>()
  for (const home of homes) {
    for (const name of await disk.list(home)) if (segmentNumber(name) !== undefined) places.set(name, `${home}/${name}`)
  }
  return places
}

async function moveSegments(disk: Disk, directory: string, movedTo: string): Promise<void> {
  const there = new Set(await disk.list(movedTo))
  for (const name of await disk.list(directory)) {
    if (segmentNumber(name) === undefined) continue
    // Of a rename that a crash cut in two, both names are left; rename(2) between two names of one file does nothing.
    if (there.has(name)) await disk.remove(`${directory}/${name}`)
    else await disk.rename(`${directory}/${name}`, `${movedTo}/${name}`)
  }
  await disk.syncDirectory(movedTo)
  await disk.syncDirectory(directory)
}
