import { expect, test } from 'vitest'
import { parseClusterId, parseNodeId } from '../base/index.ts'
import { WalDamagedError, WalFailedError, WalIdentityError, WalLockedError, WalVersionError } from './errors.ts'
import { DIRECTORY, drawFrom, IDENTITY, SMALL_SEGMENT_BYTES, settle, TextLog, texts } from './fixture.support.ts'
import { DATA_OFFSET, decodeSegmentHeader, encodeSegmentHeader, type Position } from './format.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { DiskOperation, Fate, MemoryDiskOptions } from './memory-faults.ts'
import { type SetAside, type SetAsideOptions, setAsideDamagedLog } from './set-aside.ts'

const NOTE = 'the log was lost'
const ALL = texts(9, 1300)
const STORE_ID = '09'.repeat(16)
const DAMAGED = `${DIRECTORY}/damaged-1`

function pathOf(number: number, directory = DIRECTORY): string {
  return `${directory}/00000000000${number}.wal`
}

/** A log over three segments with two spares, whose segments `numbers` have a bad first record. */
async function damagedDisk(numbers: readonly number[], at = DATA_OFFSET + 7): Promise<MemoryDisk> {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  await log.appendEach(ALL)
  await settle()
  await log.wal.close()
  for (const number of numbers) disk.rot(pathOf(number), at, 0x10)
  return disk.kill()
}

async function damageOf(disk: MemoryDisk): Promise<WalDamagedError> {
  const error = await TextLog.open(disk).catch((caught) => caught)
  if (!(error instanceof WalDamagedError)) throw new Error(`expected damage, got ${error}`)
  return error
}

/** Sets the log of this disk aside, for the damage that is found on it unless another is given. */
async function setAside(disk: MemoryDisk, damage?: WalDamagedError): Promise<SetAside> {
  const options: SetAsideOptions = {
    disk,
    directory: DIRECTORY,
    identity: IDENTITY,
    segmentBytesMax: SMALL_SEGMENT_BYTES,
    random: () => Buffer.alloc(16, 7),
    firstRecords: [{ type: 1, payload: Buffer.from(NOTE) }],
  }
  return setAsideDamagedLog(options, damage ?? (await damageOf(disk)))
}

test('a damaged log is moved away as it is, and a fresh one with the same store id begins with the note', async () => {
  const disk = await damagedDisk([1])
  const before = disk.paths.map((path) => disk.contentOf(path))
  const names = [...(await disk.list(DIRECTORY))].sort()
  expect(await setAside(disk)).toEqual({ storeId: STORE_ID, storeIdKept: true, movedTo: DAMAGED })
  expect([...(await disk.list(DAMAGED))].sort()).toEqual(names)
  expect(names.map((name) => disk.contentOf(`${DAMAGED}/${name}`))).toEqual(before)
  const log = await TextLog.open(disk.crash(() => 0))
  expect(log.replayed).toEqual([NOTE])
  expect(log.wal.fresh).toBe(false)
  expect(log.wal.storeId).toBe(STORE_ID)
  await log.append('new life')
  await log.wal.close()
})

test('positions of the fresh log lie above all that the damaged one may have used', async () => {
  const disk = new MemoryDisk()
  const seen: Position[] = []
  let log = await TextLog.open(disk)
  for (let round = 1; round <= 4; round++) {
    for (const text of ALL) seen.push(...log.place(text).positions)
    await log.append('last')
    await log.wal.close()
    const [path] = disk.paths.filter((name) => name.startsWith(`${DIRECTORY}/0`))
    disk.rot(path!, DATA_OFFSET + 7, 1)
    // Headers of the last segments may be gone with the rest.
    for (const other of disk.paths.filter((name) => name.startsWith(`${DIRECTORY}/0`)).slice(1)) disk.rot(other, 0, 1)
    const { movedTo } = await setAside(disk)
    expect(movedTo).toBe(`${DIRECTORY}/damaged-${round}`)
    const positions: Position[] = []
    log = await TextLog.open(disk, {}, (position) => positions.push(position))
    expect(log.replayed).toEqual([NOTE])
    expect(positions[0]!).toBeGreaterThan(seen.at(-1)!)
    expect(log.wal.storeId).toBe(STORE_ID)
  }
})

test('the fresh log goes on, rolls over, removes, and is damaged like any other', async () => {
  const disk = await damagedDisk([2])
  await setAside(disk)
  const log = await TextLog.open(disk)
  const positions = ALL.flatMap((text) => log.place(text).positions)
  await log.append('x')
  await log.wal.removeBefore(positions[7]!)
  await log.wal.close()
  expect((await TextLog.open(disk.kill())).replayed).toEqual([...ALL.slice(-3), 'x'].slice(-4))
})

test('rot in the note is damage', async () => {
  const disk = await damagedDisk([1])
  await setAside(disk)
  const [path] = disk.paths.filter((name) => name.startsWith(`${DIRECTORY}/0`))
  const at = disk.contentOf(path!).indexOf(NOTE)
  disk.rot(path!, at, 1)
  await expect(TextLog.open(disk)).rejects.toThrow(WalDamagedError)
})

test('without one readable header the store gets a new id, and says so', async () => {
  const disk = await damagedDisk([1, 2, 3, 4, 5], 40)
  expect(await setAside(disk)).toEqual({ storeId: '07'.repeat(16), storeIdKept: false, movedTo: DAMAGED })
  expect((await TextLog.open(disk)).wal.storeId).toBe('07'.repeat(16))
})

test('one readable header is enough, and a file of another store does not outvote the rest', async () => {
  const one = await damagedDisk([1, 2, 3, 5], 40)
  expect(await setAside(one)).toMatchObject({ storeId: STORE_ID, storeIdKept: true })
  const mixed = await damagedDisk([])
  const other = decodeSegmentHeader(mixed.contentOf(pathOf(1)))
  if (other.kind !== 'header') throw new Error('the header is whole')
  const content = mixed.contentOf(pathOf(2))
  content.set(encodeSegmentHeader({ ...other.header, number: 2, storeId: '05'.repeat(16) }))
  mixed.overwrite(pathOf(2), content)
  expect(await setAside(mixed)).toMatchObject({ storeId: STORE_ID })
})

test("another node's log and another version's are left alone", async () => {
  const change = async (fields: object): Promise<MemoryDisk> => {
    const disk = await damagedDisk([1])
    for (const path of disk.paths) {
      const content = disk.contentOf(path)
      const decoded = decodeSegmentHeader(content)
      if (decoded.kind !== 'header') throw new Error('the header is whole')
      content.set(encodeSegmentHeader({ ...decoded.header, ...fields }))
      disk.overwrite(path, content)
    }
    return disk
  }
  const damage = await damageOf(await damagedDisk([1]))
  for (const [fields, refusal] of [
    [{ nodeId: parseNodeId(2) }, WalIdentityError],
    [{ clusterId: parseClusterId('other') }, WalIdentityError],
    [{ major: 2 }, WalVersionError],
  ] as const) {
    const disk = await change(fields)
    const before = disk.paths
    await expect(setAside(disk, damage)).rejects.toThrow(refusal)
    expect(disk.paths).toEqual(before)
  }
})

test('a log that another process uses is not set aside', async () => {
  const disk = await damagedDisk([1])
  const damage = await damageOf(disk)
  const release = await disk.lock(DIRECTORY)
  await expect(setAside(disk, damage)).rejects.toThrow(WalLockedError)
  await release()
})

test('a crash at any step leaves damage or the fresh log, never an empty or a shorter one; a second call goes on', async () => {
  const kept = (await damagedDisk([1])).paths.length
  for (let step = 0; ; step++) {
    let from = Number.POSITIVE_INFINITY
    const options: MemoryDiskOptions = {
      fate: ({ index }: DiskOperation): Fate => (index === from + step ? 'crash' : 'done'),
    }
    const disk = (await damagedDisk([1])).kill(options)
    const damage = await damageOf(disk)
    from = disk.operations
    const outcome = await setAside(disk, damage).catch((error) => error)
    if (disk.operations <= from + step) break
    expect(outcome, `crash at ${step}`).toBeInstanceOf(WalFailedError)
    for (let seed = 0; seed < 10; seed++) {
      const label = `crash at ${step}, seed ${seed}`
      const after = disk.crash(drawFrom(seed))
      const found = await TextLog.open(after).catch((error) => error)
      if (found instanceof TextLog) {
        expect(found.replayed, label).toEqual([NOTE])
      } else {
        expect(found, label).toBeInstanceOf(WalDamagedError)
        const done = await setAside(after, found)
        expect(done, label).toEqual({ storeId: STORE_ID, storeIdKept: true, movedTo: DAMAGED })
        expect((await TextLog.open(after.kill())).replayed, label).toEqual([NOTE])
      }
      expect((await after.kill().list(DAMAGED)).length, label).toBe(kept)
    }
  }
})

test('a fresh segment that rots before it counts is made anew', async () => {
  const disk = await damagedDisk([1])
  const damage = await damageOf(disk)
  let renames = 0
  const broken = disk.kill({ fate: ({ kind }) => (kind === 'rename' && ++renames === 3 ? 'crash' : 'done') })
  await expect(setAside(broken, damage)).rejects.toThrow(WalFailedError)
  const after = broken.kill()
  after.rot(`${DIRECTORY}/000000000006.aside`, 30, 1)
  expect(await setAside(after)).toMatchObject({
    storeId: STORE_ID,
    storeIdKept: true,
    movedTo: DAMAGED,
  })
  expect((await TextLog.open(after)).replayed).toEqual([NOTE])
})

test('damage says whether a mark proves what is lost', async () => {
  expect(await damageOf(await damagedDisk([1]))).toMatchObject({ place: 'beforeLastMark', file: pathOf(1) })
  expect(await damageOf(await damagedDisk([1], 40))).toMatchObject({ place: 'unknown', file: pathOf(1), offset: 0 })
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  await log.append('a', 'b')
  disk.rot(pathOf(1), DATA_OFFSET + 30, 1)
  expect(await damageOf(disk.kill())).toMatchObject({ place: 'behindLastMark', offset: DATA_OFFSET + 25 })
})

test('a full disk fails the call and leaves the damaged log where it was', async () => {
  const disk = await damagedDisk([1])
  const before = disk.paths
  const full = disk.kill({ capacityBytes: 5 * SMALL_SEGMENT_BYTES })
  await expect(setAside(full)).rejects.toThrow(/could not be set aside: ENOSPC/)
  const after = full.kill()
  expect(await setAside(after)).toMatchObject({ movedTo: DAMAGED })
  expect(await after.list(DAMAGED)).toHaveLength(before.length)
})
