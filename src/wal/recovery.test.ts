import { expect, test } from 'vitest'
import { ConcordatError } from '../base/index.ts'
import { WalDamagedError } from './errors.ts'
import { DIRECTORY, diskFailingAt, drawFrom, SMALL_SEGMENT_BYTES, settle, TextLog, texts } from './fixture.support.ts'
import {
  DATA_OFFSET,
  decodeMark,
  EMPTY_BATCH_BYTES,
  encodeRecord,
  MARK_BYTES,
  RECORD_HEAD_BYTES,
  storeSalt,
} from './format.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { DiskOperation, Fate } from './memory-faults.ts'

const FIRST = `${DIRECTORY}/000000000001.wal`
const SECOND = `${DIRECTORY}/000000000002.wal`
const BATCH_OF_8 = EMPTY_BATCH_BYTES + RECORD_HEAD_BYTES + 8

/** A disk with one batch for each append, as a process that was killed leaves it. */
async function killed(appends: readonly (readonly string[])[]): Promise<MemoryDisk> {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  await settle()
  for (const append of appends) await log.append(...append)
  await settle()
  return disk.kill()
}

async function closed(appends: readonly (readonly string[])[]): Promise<MemoryDisk> {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  await settle()
  for (const append of appends) await log.append(...append)
  await log.wal.close()
  return disk.kill()
}

/** Changes a file, keeping all others: `edit` gets a copy of the content. */
function edited(disk: MemoryDisk, path: string, edit: (content: Buffer) => Buffer | undefined): MemoryDisk {
  const content = disk.contentOf(path)
  disk.overwrite(path, edit(content) ?? content)
  return disk.kill()
}

async function replay(disk: MemoryDisk): Promise<readonly string[]> {
  const log = await TextLog.open(disk)
  await settle()
  await log.wal.close()
  return log.replayed
}

function flip(at: number, bits: number): (content: Buffer) => undefined {
  return (content) => {
    content[at] = content[at]! ^ bits
  }
}

/** The replayed records, or the code of the refusal. */
async function outcome(disk: MemoryDisk): Promise<readonly string[] | string> {
  return replay(disk).catch((error) => {
    if (error instanceof ConcordatError) return error.code
    throw error
  })
}

test('a killed process loses nothing that it wrote', async () => {
  const disk = await killed([['a', 'b'], ['c']])
  expect(await replay(disk)).toEqual(['a', 'b', 'c'])
})

test('a file cut at any offset is refused: it was made in full size', async () => {
  const disk = await killed([['a'], ['b']])
  const whole = disk.contentOf(FIRST)
  for (let size = 0; size < whole.length; size += size < DATA_OFFSET + 200 && size >= DATA_OFFSET ? 1 : 97) {
    const cut = edited(disk, FIRST, () => whole.subarray(0, size))
    expect(await outcome(cut), `cut at ${size}`).toBe('WAL_DAMAGED')
  }
})

test('zeros from any offset on cut only what nothing proves', async () => {
  const all = texts(6)
  const disk = await killed(all.map((text) => [text]))
  const whole = disk.contentOf(FIRST)
  for (let from = DATA_OFFSET; from < DATA_OFFSET + 6 * BATCH_OF_8 + 10; from++) {
    const result = await outcome(
      edited(disk, FIRST, () => Buffer.concat([whole.subarray(0, from), Buffer.alloc(whole.length - from)])),
    )
    expect(result, `zeros from ${from}`).toEqual(all.slice(0, Math.floor((from - DATA_OFFSET) / BATCH_OF_8)))
  }
})

test('each flipped bit of a closed log changes nothing or is refused', async () => {
  const all = texts(6)
  const disk = await closed([all.slice(0, 2), all.slice(2, 3), all.slice(3)])
  const whole = disk.contentOf(FIRST)
  const used = [
    range(0, 140),
    range(DATA_OFFSET, DATA_OFFSET + 4 * EMPTY_BATCH_BYTES + 6 * 17 + 40),
    range(8100, 8192),
  ].flat()
  let refused = 0
  for (const at of used) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = edited(disk, FIRST, flip(at, 1 << bit))
      const result = await outcome(flipped)
      if (result === 'WAL_DAMAGED') refused++
      else expect(result, `bit ${bit} of byte ${at}`).toEqual(all)
      disk.overwrite(FIRST, whole)
    }
  }
  expect(refused).toBeGreaterThan(1000)
}, 60_000)

test('each flipped bit of a log over two segments never loses a proven record', async () => {
  const all = texts(8, 1300)
  const disk = await killed(all.map((text) => [text]))
  for (const path of [FIRST, SECOND]) {
    const whole = disk.contentOf(path)
    for (let at = DATA_OFFSET; at < whole.length; at += 41) {
      const result = await outcome(edited(disk, path, flip(at, 0x10)))
      const isTail = Array.isArray(result) && all.slice(0, result.length).join() === result.join() && result.length >= 7
      if (result !== 'WAL_DAMAGED') expect(isTail, `byte ${at} of ${path}: ${result.length}`).toBe(true)
      disk.overwrite(path, whole)
    }
  }
})

test('bad bytes below the mark are damage, and the message names file, offset and what to do', async () => {
  const disk = await killed([['a'], ['b'], ['c']])
  const error = await replay(
    edited(disk, FIRST, (content) => void content.fill(0, DATA_OFFSET, DATA_OFFSET + 20)),
  ).catch((e) => e)
  expect(error).toBeInstanceOf(WalDamagedError)
  expect(error).toMatchObject({ code: 'WAL_DAMAGED', file: FIRST, offset: DATA_OFFSET, retryable: false })
  expect(error.message).toContain(`${FIRST}, byte ${DATA_OFFSET}`)
  expect(error.message).toContain('Nothing was changed')
  expect(error.message).toContain('restore a backup, or replace the node')
})

test('a damaged log is not changed by the refusal', async () => {
  const disk = await killed([['a'], ['b'], ['c']])
  const damaged = edited(disk, FIRST, (content) => void content.fill(7, DATA_OFFSET, DATA_OFFSET + 20))
  const before = damaged.contentOf(FIRST)
  expect(await outcome(damaged)).toBe('WAL_DAMAGED')
  expect(damaged.contentOf(FIRST)).toEqual(before)
})

test('the rest of a torn write is cut, and never comes back when new records grow up to it', async () => {
  const disk = await killed([['a']])
  // The first sector of the write is lost, and the second is there.
  const second = DATA_OFFSET + 512
  let world = edited(disk, FIRST, (content) => void content.fill(0xa5, second, second + 200))
  for (let round = 0; round < 10; round++) {
    const log = await TextLog.open(world)
    expect(log.replayed).toHaveLength(1 + round)
    await log.append('another')
    world = world.kill()
  }
})

test('garbage behind the end that no torn write leaves is damage: it may be the batch that went astray', async () => {
  const disk = await killed([['a']])
  const end = DATA_OFFSET + EMPTY_BATCH_BYTES + RECORD_HEAD_BYTES + 1
  for (const from of [end, end + 1, end + 100]) {
    expect(await outcome(edited(disk, FIRST, (content) => void content.fill(0xa5, from, from + 50)))).toBe(
      'WAL_DAMAGED',
    )
  }
})

test('the rest of a torn batch is not taken for a record of a later, shorter one', async () => {
  const disk = await killed([['a'], ['b', 'c', 'd']])
  const second = DATA_OFFSET + EMPTY_BATCH_BYTES + RECORD_HEAD_BYTES + 1
  // The mark is lost, as when its sector was: b, c and d stand there without it.
  const log = await TextLog.open(edited(disk, FIRST, (content) => void content.fill(0, second, second + 512)))
  expect(log.replayed).toEqual(['a'])
})

test('a torn batch that lacks a sector in its middle is cut, although its end is whole', async () => {
  const all = texts(12, 200)
  const disk = await killed([['first'], all])
  const hole = DATA_OFFSET + 1024
  expect(await replay(edited(disk, FIRST, (content) => void content.fill(0, hole, hole + 512)))).toEqual(['first'])
})

test('a bad record before good ones of the same batch, without a lost sector, is damage', async () => {
  const all = texts(12, 200)
  const disk = await killed([['first'], all])
  expect(await outcome(edited(disk, FIRST, flip(DATA_OFFSET + 1100, 1)))).toBe('WAL_DAMAGED')
})

test('a missing segment is damage, first or in the middle; a missing last spare is not', async () => {
  const all = texts(9, 1300)
  const build = (): Promise<MemoryDisk> => killed(all.map((text) => [text]))
  for (const path of [FIRST, SECOND]) {
    const disk = await build()
    disk.erase(path)
    await expect(TextLog.open(disk)).rejects.toThrow(/is missing/)
  }
  const disk = await build()
  disk.erase(`${DIRECTORY}/000000000005.wal`)
  expect(await replay(disk)).toEqual(all)
})

test('a segment of zeros amid the log is damage', async () => {
  const disk = await killed(texts(9, 1300).map((text) => [text]))
  expect(await outcome(edited(disk, SECOND, (content) => void content.fill(0, DATA_OFFSET)))).toBe('WAL_DAMAGED')
})

test('a bad end of a full segment is damage as soon as the next one has a batch', async () => {
  const disk = await killed(texts(4, 1300).map((text) => [text]))
  const last = DATA_OFFSET + 2 * (EMPTY_BATCH_BYTES + RECORD_HEAD_BYTES + 1300)
  const error = await replay(edited(disk, FIRST, (content) => void content.fill(0, last, last + 100))).catch((e) => e)
  expect(error).toMatchObject({ code: 'WAL_DAMAGED', file: FIRST })
})

test('a segment of another store, or under another number, is damage', async () => {
  const disk = await killed(texts(9, 1300).map((text) => [text]))
  const other = new MemoryDisk()
  const log = await TextLog.open(other, { random: () => Buffer.alloc(16, 3) })
  await log.append(...texts(9, 1300))
  expect(await outcome(edited(disk, SECOND, () => other.contentOf(SECOND)))).toBe('WAL_DAMAGED')
  expect(await outcome(edited(disk, SECOND, (_) => disk.contentOf(FIRST)))).toBe('WAL_DAMAGED')
})

test('stale bytes of another segment or place never validate', () => {
  const salt = storeSalt('00'.repeat(16))
  const bytes = Buffer.alloc(MARK_BYTES)
  encodeRecord(bytes, 0, 5000, salt, 240, Buffer.alloc(16), 16)
  expect(decodeMark(bytes, 0, 5000, salt)).toBeDefined()
  expect(decodeMark(bytes, 0, 5000 + SMALL_SEGMENT_BYTES, salt)).toBeUndefined()
  expect(decodeMark(bytes, 0, 5000 + 2 ** 32, salt)).toBeUndefined()
  expect(decodeMark(bytes, 0, 5000, storeSalt('01'.repeat(16)))).toBeUndefined()
})

test('what a failed write left in the page cache is made durable before it counts', async () => {
  let fail = false
  const fate = (operation: DiskOperation): Fate => (fail && operation.kind === 'write' ? 'EIO' : 'done')
  const disk = new MemoryDisk({ fate })
  const log = await TextLog.open(disk)
  await settle()
  await log.append('sure')
  fail = true
  await expect(log.append('ghost')).rejects.toThrow()
  // The same bytes read well, though the disk has not got them: without the copy the power cut would take them.
  const next = disk.kill()
  const again = await TextLog.open(next)
  expect(again.replayed).toEqual(['sure', 'ghost'])
  await again.append('after')
  const afterPowerCut = next.crash(() => 0)
  expect(await replay(afterPowerCut)).toEqual(['sure', 'ghost', 'after'])
})

test('a name that only the page cache knows is made durable before its file is used', async () => {
  const disk = new MemoryDisk({ fate: ({ kind }) => (kind === 'syncDirectory' ? 'crash' : 'done') })
  await expect(TextLog.open(disk)).rejects.toThrow()
  // No spare is made meanwhile, whose own sync would hide a missing one.
  const next = disk.kill({ fate: ({ kind }) => (kind === 'preallocate' ? 'ENOSPC' : 'done') })
  const log = await TextLog.open(next)
  await log.append('x')
  expect(await replay(next.crash(() => 0))).toEqual(['x'])
})

test('a spare with the rest of a torn write in it is made anew before it is used', async () => {
  const disk = await killed([['a']])
  const world = edited(disk, SECOND, (content) => void content.fill(0xa5, DATA_OFFSET + 4040, DATA_OFFSET + 4090))
  const log = await TextLog.open(world)
  const more = texts(9, 1300)
  for (const text of more) await log.append(text)
  expect(await replay(world.kill())).toEqual(['a', ...more])
})

test('a crash at any operation loses no acknowledged record, and a second crash during recovery neither', async () => {
  const script = [texts(3, 500, 'a'), texts(2, 1500, 'b'), texts(4, 1200, 'c'), texts(1, 3000, 'd'), texts(2, 900, 'e')]
  const all = script.flat()
  for (let index = 0; ; index++) {
    const disk = diskFailingAt(index, 'crash')
    const acknowledged = await runScript(disk, script)
    if (disk.operations <= index) break
    for (let seed = 0; seed < 6; seed++) {
      const label = `crash at operation ${index}, seed ${seed}`
      await checkSurvivor(disk, seed, all, acknowledged, label)
      await checkSecondCrash(disk, index, seed, all, acknowledged, label)
    }
  }
}, 60_000)

/** Appends until the disk dies; answers how many records were acknowledged. */
async function runScript(disk: MemoryDisk, script: readonly string[][]): Promise<number> {
  let log: TextLog | undefined
  try {
    log = await TextLog.open(disk)
    for (const append of script) await log.append(...append)
    await settle()
    await log.wal.close()
  } catch {
    // The machine is gone.
  }
  return log?.durable.length ?? 0
}

async function checkSurvivor(
  disk: MemoryDisk,
  seed: number,
  all: string[],
  acknowledged: number,
  label: string,
): Promise<void> {
  const log = await TextLog.open(disk.crash(drawFrom(seed)))
  expect(log.replayed, label).toEqual(all.slice(0, log.replayed.length))
  expect(log.replayed.length, label).toBeGreaterThanOrEqual(acknowledged)
  await log.append('new')
  await log.wal.close()
}

async function checkSecondCrash(
  disk: MemoryDisk,
  index: number,
  seed: number,
  all: string[],
  acknowledged: number,
  label: string,
): Promise<void> {
  const at = (index * 7 + seed * 5) % 40
  const second = disk.crash(drawFrom(seed), { fate: (operation) => (operation.index === at ? 'crash' : 'done') })
  const more = [['x0'], ['x1', 'x2']]
  let log: TextLog | undefined
  try {
    log = await TextLog.open(second)
    for (const append of more) await log.append(...append)
  } catch {
    // The machine is gone again.
  }
  const kept = log === undefined ? acknowledged : log.replayed.length + log.durable.length
  const written = [...(log?.replayed ?? all), ...(log === undefined ? [] : more.flat())]
  const replayed = await replay(second.crash(drawFrom(seed + 100)))
  expect(replayed, `${label}, then at ${at}`).toEqual(written.slice(0, replayed.length))
  expect(replayed.length, `${label}, then at ${at}`).toBeGreaterThanOrEqual(kept)
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}
