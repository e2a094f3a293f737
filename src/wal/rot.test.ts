import { expect, test } from 'vitest'
import { Batch } from './batch.ts'
import { DIRECTORY, settle, TextLog, texts } from './fixture.support.ts'
import {
  DATA_OFFSET,
  EMPTY_BATCH_BYTES,
  MARK_BYTES,
  RECORD_HEAD_BYTES,
  SEGMENT_HEADER_BYTES,
  storeSalt,
} from './format.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { DiskOperation, Fate } from './memory-faults.ts'
import { opened, Promised, refusalComplaint } from './storage-failures.support.ts'

const PATH = `${DIRECTORY}/000000000001.wal`

type End = 'closed' | 'idle' | 'killed'

interface Specimen {
  readonly disk: MemoryDisk
  readonly promised: Promised
  /** Files that hold records or held them; the rest are spares. */
  readonly used: readonly string[]
}

/** A log over several segments, the first of them removed, of which one is full and one is not. */
async function specimen(end: End): Promise<Specimen> {
  const promised = new Promised()
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  await promised.append(log, texts(4, 1300, 'old'))
  await promised.removeAllButLast(log)
  await promised.append(log, ['', 'x', ...texts(3, 60, 'some'), ...texts(2, 1300, 'large'), ...texts(3, 20, 'last')])
  await settle()
  if (end === 'idle') log.clock.advance(50)
  await settle()
  if (end === 'closed') await log.wal.close()
  const used = disk.paths.filter((path) =>
    disk
      .contentOf(path)
      .subarray(DATA_OFFSET)
      .some((byte) => byte !== 0),
  )
  expect(used).toHaveLength(2)
  // What could be removed is gone already: nothing less may come back.
  promised.needed = promised.written.length
  const replayed = await opened(disk.crash(() => 0))
  if (replayed instanceof Error) throw replayed
  promised.needed = promised.written.length - replayed.length
  return { disk: disk.kill(), promised, used }
}

/** Bytes of a file that are worth each bit: the header, and what is not zero, with a little behind it. */
function telling(content: Buffer): number[] {
  const end = content.findLastIndex((byte) => byte !== 0) + 40
  return [...range(0, SEGMENT_HEADER_BYTES + 8), ...range(DATA_OFFSET - 8, Math.min(end, content.length))]
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}

/** What is wrong with the outcome of opening a damaged log; `mayLack` records at its end may be missing. */
async function complaint(disk: MemoryDisk, promised: Promised, mayLack = 0): Promise<string | undefined> {
  const result = await opened(disk)
  if (result instanceof Error) return refusalComplaint(result)
  const { acknowledged } = promised
  promised.acknowledged -= mayLack
  const found = promised.complaint(result)
  promised.acknowledged = acknowledged
  return found
}

test.each(['closed', 'idle'] as const)(
  'each flipped bit of a log that is %s changes nothing or is refused with its place',
  async (end) => {
    const { disk, promised, used } = await specimen(end)
    let refused = 0
    for (const path of used) {
      for (const at of telling(disk.contentOf(path))) {
        // Every bit of what frames records and of short ones; of the long ones each byte once.
        const bits = at < DATA_OFFSET + 500 ? range(0, 8) : [at % 8]
        for (const bit of bits) {
          const rotten = disk.crash(() => 0)
          rotten.rot(path, at, 1 << bit)
          const result = await opened(rotten)
          if (result instanceof Error) refused++
          const found = result instanceof Error ? refusalComplaint(result) : promised.complaint(result)
          expect(found, `bit ${bit} of byte ${at} of ${path}`).toBeUndefined()
        }
      }
    }
    expect(refused).toBeGreaterThan(5000)
  },
  120_000,
)

test('each flipped bit of a killed log is refused, also in its last batch, which nothing proves', async () => {
  const { disk, promised, used } = await specimen('killed')
  for (const path of used) {
    for (const at of telling(disk.contentOf(path))) {
      const rotten = disk.crash(() => 0)
      rotten.rot(path, at, 1 << (at % 8))
      expect(await complaint(rotten, promised), `byte ${at} of ${path}`).toBeUndefined()
    }
  }
}, 60_000)

test.each([
  ['a record of zeros', '\0'.repeat(20)],
  ['an empty record', ''],
])('each flipped bit of a killed log that ends in %s is refused', async (_, last) => {
  const { disk, at } = await killedLog(last)
  const content = disk.contentOf(PATH)
  for (let offset = at; content.subarray(offset).some((byte) => byte !== 0); offset++) {
    for (const bit of range(0, 8)) {
      const rotten = disk.crash(() => 0)
      rotten.rot(PATH, offset, 1 << bit)
      expect(await opened(rotten), `bit ${bit} of byte ${offset}`).toBeInstanceOf(Error)
    }
  }
})

test('harm to a last batch that holds no record keeps no log from opening, for nothing is lost with it', async () => {
  const { disk, at } = await killedLog('last')
  const idle = await TextLog.open(disk)
  await idle.wal.close()
  const closed = disk.kill()
  const content = closed.contentOf(PATH)
  const end = content.findLastIndex((byte) => byte !== 0) + 1
  expect(end - EMPTY_BATCH_BYTES).toBeGreaterThan(at)
  for (let offset = end - EMPTY_BATCH_BYTES; offset < end; offset++) {
    for (const bit of range(0, 8)) {
      const rotten = closed.crash(() => 0)
      rotten.rot(PATH, offset, 1 << bit)
      const found = await opened(rotten)
      expect(found, `bit ${bit} of byte ${offset}`).toEqual(expect.arrayContaining(['last']))
    }
  }
})

test.each([0, 1, 300])('a write of %i bytes that went astray over the newest batch is refused', async (bytes) => {
  const { disk, at } = await killedLog('newest')
  const place = { segment: 1, base: 0, size: 8192, offset: 8000 }
  const strayed = new Batch(place, 0, storeSalt('00'.repeat(16)), Buffer.alloc(EMPTY_BATCH_BYTES))
  if (bytes > 0) strayed.add(1, Buffer.alloc(bytes), bytes)
  const image = strayed.finish(DATA_OFFSET)
  const end = disk.contentOf(PATH).findLastIndex((byte) => byte !== 0) + 1
  for (let offset = Math.max(DATA_OFFSET, at - image.length + 1); offset < end; offset++) {
    const harmed = disk.crash(() => 0)
    const content = disk.contentOf(PATH)
    image.copy(content, offset)
    harmed.overwrite(PATH, content)
    expect(await opened(harmed), `at ${offset}`).toBeInstanceOf(Error)
  }
})

test('a write that went astray between the header and the first batch is refused: it is missing where it belongs', async () => {
  const { disk, at } = await killedLog('newest')
  for (let offset = SEGMENT_HEADER_BYTES; offset < DATA_OFFSET; offset += 61) {
    const harmed = disk.crash(() => 0)
    const content = disk.contentOf(PATH)
    const strayed = Buffer.from(content.subarray(at))
    content.fill(0, at)
    strayed.copy(content, offset)
    harmed.overwrite(PATH, content)
    expect(await opened(harmed), `at ${offset}`).toMatchObject({ code: 'WAL_DAMAGED' })
  }
})

test.each([
  ['the mark', 0],
  ['the record', MARK_BYTES],
  ['the end', MARK_BYTES + RECORD_HEAD_BYTES],
])('a flipped bit is no lost sector, also when %s of the batch stands at the end of one', async (_, into) => {
  for (const place of range(505, 512)) {
    const { disk, at } = await killedLog('', (begin) => (begin + into) % 512 === place)
    const content = disk.contentOf(PATH)
    for (let offset = at; content.subarray(offset).some((byte) => byte !== 0); offset++) {
      const rotten = disk.crash(() => 0)
      rotten.rot(PATH, offset, 1 << (offset % 8))
      expect(await opened(rotten), `byte ${offset - at}, ${place}`).toBeInstanceOf(Error)
    }
  }
})

test('flipped bits of a spare change nothing, or are refused with their place', async () => {
  const { disk, promised, used } = await specimen('closed')
  const spare = disk.paths.find((path) => !used.includes(path))!
  for (const at of [
    ...range(0, SEGMENT_HEADER_BYTES),
    ...range(SEGMENT_HEADER_BYTES, 8192).filter((n) => n % 13 === 0),
  ]) {
    const rotten = disk.crash(() => 0)
    rotten.rot(spare, at, 1 << (at % 8))
    expect(await complaint(rotten, promised), `byte ${at}`).toBeUndefined()
  }
})

test('a file that ends at any offset is refused', async () => {
  const { disk } = await specimen('killed')
  for (const path of disk.paths) {
    const whole = disk.contentOf(path)
    for (let size = 0; size < whole.length; size++) {
      const cut = disk.crash(() => 0)
      cut.overwrite(path, whole.subarray(0, size))
      const result = await opened(cut)
      if (!(result instanceof Error)) throw new Error(`${path} cut at ${size} was opened`)
      expect(refusalComplaint(result), `${path} cut at ${size}`).toBeUndefined()
    }
  }
}, 120_000)

test('zeros from any offset on cost only what nothing proves, or are refused with their place', async () => {
  for (const [end, mayLack] of [
    ['closed', 0],
    ['killed', 1],
  ] as const) {
    const { disk, promised, used } = await specimen(end)
    for (const path of used) {
      const whole = disk.contentOf(path)
      const last = path === used.at(-1)
      for (let from = DATA_OFFSET; from < whole.length; from++) {
        if (whole.subarray(from).every((byte) => byte === 0)) break
        const cut = disk.crash(() => 0)
        cut.overwrite(path, Buffer.concat([whole.subarray(0, from), Buffer.alloc(whole.length - from)]))
        const result = await opened(cut)
        // A suffix that is gone as a whole, marks and all, cannot be told from records that never were: see the docs.
        if (last && !(result instanceof Error)) expect(promised.written.join()).toContain(result.join())
        else expect(await complaint(cut, promised, mayLack), `${path} zero from ${from}`).toBeUndefined()
      }
    }
  }
}, 60_000)

test('any lost or zeroed sector is refused, or costs only what nothing proves', async () => {
  const { disk, promised, used } = await specimen('closed')
  for (const path of used) {
    const whole = disk.contentOf(path)
    const end = whole.findLastIndex((byte) => byte !== 0)
    // The sector with the last mark is all that proves the last batch.
    for (let at = 0; at < Math.floor(end / 512) * 512; at += 512) {
      if (whole.subarray(at, at + 512).every((byte) => byte === 0)) continue
      const lost = disk.crash(() => 0)
      lost.overwrite(path, Buffer.concat([whole.subarray(0, at), Buffer.alloc(512), whole.subarray(at + 512)]))
      expect(await complaint(lost, promised), `${path}, sector at ${at}`).toBeUndefined()
    }
  }
})

test.each([
  ['lost', 'lost' as const],
  ['misdirected to the middle', { misdirectedTo: 5000 }],
  ['misdirected to the beginning', { misdirectedTo: DATA_OFFSET }],
  ['misdirected over the header', { misdirectedTo: 0 }],
])('a write that is %s is found when the power went, unless it was the last', async (_, fate: Fate) => {
  for (let index = 20; ; index++) {
    const promised = new Promised()
    const strike = (operation: DiskOperation): Fate =>
      operation.index === index && operation.kind === 'write' && operation.path.endsWith('.wal') ? fate : 'done'
    const disk = new MemoryDisk({ fate: strike })
    const log = await TextLog.open(disk)
    await promised.append(log, texts(3, 300, 'a'))
    await promised.append(log, texts(4, 1500, 'b'))
    await promised.append(log, texts(3, 300, 'c'))
    await log.wal.close()
    if (disk.operations <= index) break
    const unlucky = disk.crash(() => 0)
    expect(await complaint(unlucky, promised, 1), `operation ${index}`).toBeUndefined()
  }
})

test('bytes behind the last batch of a full segment are damage: no torn write is followed by another segment', async () => {
  const { disk, used } = await specimen('closed')
  const path = used[0]!
  const end = disk.contentOf(path).findLastIndex((byte) => byte !== 0) + 1
  disk.rot(path, end + 20, 0x40)
  const result = await opened(disk)
  if (!(result instanceof Error)) throw new Error('it was opened')
  expect(result).toMatchObject({ code: 'WAL_DAMAGED', file: path, offset: end, place: 'beforeLastMark' })
})

test('every file that is missing, doubled or exchanged is refused with its place', async () => {
  const { disk, promised } = await specimen('closed')
  for (const path of disk.paths) {
    const gone = disk.crash(() => 0)
    gone.erase(path)
    // A spare at the end may go: it held nothing.
    expect(await complaint(gone, promised), `without ${path}`).toBeUndefined()
    for (const other of disk.paths) {
      if (other === path) continue
      const mixed = disk.crash(() => 0)
      mixed.overwrite(path, disk.contentOf(other))
      const result = await opened(mixed)
      if (!(result instanceof Error)) throw new Error(`${other} passed for ${path}`)
      expect(refusalComplaint(result), `${other} as ${path}`).toBeUndefined()
    }
  }
  const added = disk.crash(() => 0)
  added.overwrite(`${DIRECTORY}/000000000099.wal`, disk.contentOf(disk.paths[0]!))
  expect(await complaint(added, promised)).toBeUndefined()
})

test('a failed read at any point of a start is reported, and nothing is changed for good', async () => {
  const { disk, promised } = await specimen('killed')
  for (let index = 0; ; index++) {
    const failing = disk.crash(() => 0, { fate: (operation) => (operation.index === index ? 'EIO' : 'done') })
    const result = await opened(failing)
    if (failing.operations <= index) break
    if (result instanceof Error) expect(result.code, `EIO at ${index}`).toBe('WAL_FAILED')
    expect(await complaint(failing.kill(), promised), `after EIO at ${index}`).toBeUndefined()
  }
})

/** A killed log of two batches, and where the second begins: at a place that `isWanted`. */
async function killedLog(
  last: string,
  isWanted: (begin: number) => boolean = () => true,
): Promise<{ readonly disk: MemoryDisk; readonly at: number }> {
  for (let length = 100; length < 700; length++) {
    const disk = new MemoryDisk()
    const log = await TextLog.open(disk)
    await log.append('x'.repeat(length))
    const at = disk.contentOf(PATH).findLastIndex((byte) => byte !== 0) + 1
    if (!isWanted(at)) continue
    await log.append(last)
    return { disk: disk.kill(), at }
  }
  throw new Error('no length fits')
}
