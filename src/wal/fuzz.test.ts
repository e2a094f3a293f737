import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { ConcordatError, Prng } from '../base/index.ts'
import { Batch } from './batch.ts'
import { WalDamagedError } from './errors.ts'
import { DIRECTORY, IDENTITY, settle, TextLog, texts } from './fixture.support.ts'
import { DATA_OFFSET, encodeMark, encodeRecord, encodeSegmentHeader, type Position, storeSalt } from './format.ts'
import { MemoryDisk } from './memory-disk.ts'
import { setAsideDamagedLog } from './set-aside.ts'

const STORE_ID = '09'.repeat(16)
const SALT = storeSalt(STORE_ID)
const SEGMENT_BYTES = 8192

function pathOf(number: number): string {
  return `${DIRECTORY}/${String(number).padStart(12, '0')}.wal`
}

function header(number: number, base: number, size = SEGMENT_BYTES): Buffer {
  return encodeSegmentHeader({ major: 1, minor: 1, number, base, size, storeId: STORE_ID, ...IDENTITY })
}

function randomBytes(prng: Prng, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => prng.below(256)))
}

/** Opens, and then sets aside what was refused: whatever the bytes, both end, with one of our errors at most. */
async function survive(disk: MemoryDisk, label: string): Promise<'opened' | 'refused'> {
  try {
    const log = await TextLog.open(disk)
    await log.append('goes on')
    await log.wal.close()
    const again = await TextLog.open(disk)
    expect(again.replayed, label).toEqual([...log.replayed, 'goes on'])
    await again.wal.close()
    return 'opened'
  } catch (error) {
    if (!(error instanceof ConcordatError)) throw new Error(`${label}: ${error}`, { cause: error })
    if (error instanceof WalDamagedError) await setAsideAndOpen(disk, error, label)
    return 'refused'
  }
}

async function setAsideAndOpen(disk: MemoryDisk, damage: WalDamagedError, label: string): Promise<void> {
  const firstRecords = [{ type: 1, payload: Buffer.from('lost') }]
  const options = { disk, directory: DIRECTORY, identity: IDENTITY, segmentBytesMax: SEGMENT_BYTES, firstRecords }
  try {
    await setAsideDamagedLog(options, damage)
  } catch (error) {
    if (!(error instanceof ConcordatError)) throw new Error(`${label}: ${error}`, { cause: error })
    return
  }
  const log = await TextLog.open(disk)
  expect(log.replayed, label).toEqual(['lost'])
  await log.wal.close()
}

/** Three whole segments of a healthy log. */
async function healthy(): Promise<{ segments: Buffer[]; positions: Position[] }> {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  const positions = await log.appendEach(texts(7, 1250))
  await settle()
  await log.wal.close()
  return { segments: [1, 2, 3].map((number) => disk.contentOf(pathOf(number))), positions }
}

test('files of random bytes under our names are refused or read, never worse', async () => {
  const prng = new Prng(1)
  for (let round = 0; round < 200; round++) {
    const disk = new MemoryDisk()
    for (let number = 1 + prng.below(3); number < 5; number += 1 + prng.below(2)) {
      const content = randomBytes(prng, prng.below(3) === 0 ? prng.below(300) : SEGMENT_BYTES)
      if (prng.below(3) > 0) header(number, (number - 1) * SEGMENT_BYTES).copy(content)
      disk.overwrite(pathOf(number), content)
    }
    await survive(disk, `round ${round}`)
  }
})

test('spliced segments are refused or read, and never give a record that was not written there', async () => {
  const { segments } = await healthy()
  const written = new Set(texts(7, 1250))
  const prng = new Prng(2)
  const outcomes = { opened: 0, refused: 0 }
  for (let round = 0; round < 600; round++) {
    const disk = new MemoryDisk()
    for (const [index, segment] of segments.entries()) disk.overwrite(pathOf(index + 1), segment)
    for (let splices = 1 + prng.below(3); splices > 0; splices--) splice(disk, segments, prng)
    const seen = await TextLog.open(disk.crash(() => 0)).then(
      (log) => log.replayed,
      () => [],
    )
    for (const text of seen) expect(written.has(text), `round ${round}`).toBe(true)
    expect(seen, `round ${round}`).toEqual([...written].slice(0, seen.length))
    outcomes[await survive(disk.kill(), `round ${round}`)]++
  }
  expect(outcomes.opened).toBeGreaterThan(10)
  expect(outcomes.refused).toBeGreaterThan(200)
}, 60_000)

/** Copies a piece from anywhere in the log to anywhere else, on sectors or not. */
function splice(disk: MemoryDisk, segments: readonly Buffer[], prng: Prng): void {
  const unit = prng.below(2) === 0 ? 512 : 1
  const from = segments[prng.below(segments.length)]!
  const start = prng.below(SEGMENT_BYTES / unit) * unit
  const piece = from.subarray(start, start + (1 + prng.below(2048 / unit)) * unit)
  const path = pathOf(1 + prng.below(segments.length))
  const target = disk.contentOf(path)
  piece.copy(target, prng.below(SEGMENT_BYTES / unit) * unit)
  disk.overwrite(path, target)
}

test('records with good checksums and senseless content are refused or read, never worse', async () => {
  const prng = new Prng(3)
  const outcomes = { opened: 0, refused: 0 }
  for (let round = 0; round < 800; round++) {
    const disk = new MemoryDisk()
    const content = Buffer.alloc(SEGMENT_BYTES)
    const number = 1 + prng.below(2)
    const base = (number - 1) * SEGMENT_BYTES
    header(number, base).copy(content)
    const end = DATA_OFFSET + (prng.below(2) === 0 ? 100 : 3800)
    for (let at = DATA_OFFSET; at < end; ) at += forge(content, at, base, prng)
    disk.overwrite(pathOf(number), content)
    outcomes[await survive(disk, `round ${round}`)]++
  }
  expect(outcomes.refused).toBeGreaterThan(200)
  expect(outcomes.opened).toBeGreaterThan(10)
}, 60_000)

/** Writes something that somebody made who knows the store's id: a batch that lies, a stray record, or bytes. */
function forge(content: Buffer, at: number, base: number, prng: Prng): number {
  const position = base + at
  const far = [0, 1, position, position + 1, 2 ** 32, 2 ** 53 - 1][prng.below(6)]!
  switch (prng.below(6)) {
    case 0: {
      const mark = { syncedUpTo: far, bytes: prng.below(200), count: prng.below(4) }
      encodeMark(content, at, position, SALT, mark)
      return 25 + prng.below(2) * mark.bytes
    }
    case 1: {
      const payload = randomBytes(prng, prng.below(30))
      encodeRecord(content, at, position, SALT, 1 + prng.below(255), payload, payload.length)
      return 9 + payload.length
    }
    case 2:
      encodeRecord(content, at, position, SALT, 240 + prng.below(3), Buffer.alloc(8, prng.below(256)), 8)
      return 17
    case 3:
      return prng.below(20)
    default: {
      const place = { segment: 1, base, size: SEGMENT_BYTES, offset: at }
      const batch = new Batch(place, 0, SALT, Buffer.alloc(256))
      for (let count = prng.below(4); count > 0; count--) {
        const payload = randomBytes(prng, prng.below(20))
        batch.add(prng.below(4) === 0 ? 241 : 1 + prng.below(239), payload, payload.length)
      }
      batch.finish(prng.below(8) === 0 ? far : Math.min(position, base + DATA_OFFSET)).copy(content, at)
      return batch.length
    }
  }
}

test('headers with good checksums and senseless fields are refused or read, never worse', async () => {
  const prng = new Prng(4)
  for (let round = 0; round < 800; round++) {
    const disk = new MemoryDisk()
    const content = Buffer.alloc(SEGMENT_BYTES)
    header(1, 0).copy(content)
    const at = 8 + prng.below(60)
    for (let i = 0; i < 1 + prng.below(8); i++) content[at + i] = [0, 255, prng.below(256)][prng.below(3)]!
    content.writeUInt32BE(crc32(content.subarray(0, 124)), 124)
    disk.overwrite(pathOf(1), content)
    await survive(disk, `round ${round}`)
  }
})

test('a read of a record whose bytes are now random is refused, and claims no more memory than its segment', async () => {
  const prng = new Prng(5)
  for (let round = 0; round < 200; round++) {
    const disk = new MemoryDisk()
    const log = await TextLog.open(disk)
    const { positions, done } = log.place('a', 'b'.repeat(500), 'c')
    await done
    const begin = DATA_OFFSET + prng.below(300)
    for (const [index, mask] of randomBytes(prng, 40 + prng.below(400)).entries())
      disk.rot(pathOf(1), begin + index, mask)
    const before = process.memoryUsage().arrayBuffers
    for (const position of positions) {
      await log.wal.read(position).catch((error) => expect(error).toBeInstanceOf(WalDamagedError))
      await log.wal.readRange(position, 1e9, () => true).catch((error) => expect(error).toBeInstanceOf(WalDamagedError))
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1024 * 1024)
    await log.wal.close()
  }
})

test('a segment of the greatest claims is searched within bounds', async () => {
  const size = 4 * 1024 * 1024
  for (const fill of [0x01, 0x7f, 0xff]) {
    const content = Buffer.alloc(size).fill(fill, DATA_OFFSET)
    header(1, 0, size).copy(content)
    // Every place claims a record that reaches far into the file.
    for (let at = DATA_OFFSET; at < size - 100; at += 5) content.writeUInt32BE(size - at - 100, at)
    const disk = new MemoryDisk()
    disk.overwrite(pathOf(1), content)
    await expect(TextLog.open(disk)).rejects.toMatchObject({ code: 'WAL_DAMAGED', offset: DATA_OFFSET })
  }
})
