import { expect, test } from 'vitest'
import { WalClosedError, WalFailedError, WalRemovedError } from './errors.ts'
import { DIRECTORY, drawFrom, SMALL_SEGMENT_BYTES, settle, TextLog, texts } from './fixture.support.ts'
import { DATA_OFFSET, EMPTY_BATCH_BYTES, type Position, RECORD_HEAD_BYTES } from './format.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { DiskOperation, Fate, MemoryDiskOptions } from './memory-faults.ts'

const ALL = texts(12, 1300)
/** Segments 1 to 4 hold three of these each. */
const THREE_A_SEGMENT = 3

/** A log of twelve records, three in each of four segments. */
async function filled(disk: MemoryDisk): Promise<{ log: TextLog; positions: Position[] }> {
  const log = await TextLog.open(disk)
  const positions = await log.appendEach(ALL)
  await settle()
  return { log, positions }
}

async function namesOf(disk: MemoryDisk): Promise<string[]> {
  return [...(await disk.list(DIRECTORY))].sort()
}

test('whole segments before a position are removed; the others stay, and positions go on growing', async () => {
  const disk = new MemoryDisk()
  const { log, positions } = await filled(disk)
  const before = log.wal.bytesOnDisk
  await log.wal.removeBefore(positions[7]!)
  expect(await namesOf(disk)).toEqual(['3', '4', '5', '6'].map((number) => `00000000000${number}.wal`))
  expect(log.wal.bytesOnDisk).toBe(before - 2 * SMALL_SEGMENT_BYTES)
  expect(log.wal.begin).toBe(2 * SMALL_SEGMENT_BYTES)
  const { positions: later, done } = log.place('later')
  await done
  expect(later[0]!).toBeGreaterThan(positions.at(-1)!)
  await log.wal.close()
  const seen: Position[] = []
  const again = await TextLog.open(disk, {}, (position) => seen.push(position))
  expect(again.replayed).toEqual([...ALL.slice(2 * THREE_A_SEGMENT), 'later'])
  expect(seen).toEqual([...positions.slice(2 * THREE_A_SEGMENT), ...later])
  expect((await again.wal.read(seen[0]!)).payload.toString()).toBe(ALL[6])
})

test('a log goes through many segments of which few exist at a time', async () => {
  let disk = new MemoryDisk()
  let kept: string[] = []
  for (let round = 0; round < 12; round++) {
    const log = await TextLog.open(disk)
    expect(log.replayed).toEqual(kept)
    for (let i = 0; i < 5; i++) {
      const text = `round ${round} record ${i}`.padEnd(1300)
      const { positions, done } = log.place(text)
      await done
      await log.wal.removeBefore(positions[0]!)
    }
    await settle()
    expect(log.wal.stats.segments).toBe(3)
    expect(log.wal.bytesOnDisk).toBe(3 * SMALL_SEGMENT_BYTES)
    disk = round % 2 === 0 ? disk.kill() : disk.crash(drawFrom(round))
    const peek = await TextLog.open(disk)
    kept = [...peek.replayed]
    expect(kept.length).toBeGreaterThan(0)
    expect(kept.length).toBeLessThanOrEqual(THREE_A_SEGMENT)
    await peek.wal.close()
  }
})

test('the segment that is written is never removed', async () => {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  const { positions, done } = log.place(
    'x'.repeat(SMALL_SEGMENT_BYTES - DATA_OFFSET - EMPTY_BATCH_BYTES - RECORD_HEAD_BYTES),
  )
  await done
  await log.wal.removeBefore((positions[0]! + SMALL_SEGMENT_BYTES - DATA_OFFSET - EMPTY_BATCH_BYTES) as Position)
  expect(log.wal.begin).toBe(0)
  expect((await TextLog.open(disk.kill())).replayed).toHaveLength(1)
})

test('nothing is removed before all records up to the position are on disk', async () => {
  const held: (() => void)[] = []
  let holding = false
  const disk = new MemoryDisk({ delayWrite: (go) => void (holding ? held.push(go) : queueMicrotask(go)) })
  const { log } = await filled(disk)
  holding = true
  const { positions } = log.place('checkpoint')
  const removed = log.wal.removeBefore(positions[0]!)
  await settle()
  expect(await namesOf(disk)).toContain('000000000001.wal')
  holding = false
  held.shift()!()
  await removed
  expect(await namesOf(disk)).not.toContain('000000000001.wal')
})

test('what is removed reckons with records that were not on disk yet when it was asked for', async () => {
  const disk = new MemoryDisk()
  const { log } = await filled(disk)
  const { positions } = log.place(...texts(6, 1300, 'b'))
  await log.wal.removeBefore(positions[5]!)
  expect(log.wal.begin).toBe(5 * SMALL_SEGMENT_BYTES)
})

test('a read of what was removed says so; one that began before comes to its end', async () => {
  const disk = new MemoryDisk()
  const { log, positions } = await filled(disk)
  const seen: string[] = []
  const reading = log.wal.readRange(positions[0]!, 1e9, ({ payload }) => seen.push(payload.toString()) > 0)
  await log.wal.removeBefore(positions[9]!)
  await reading
  expect(seen).toEqual(ALL)
  await expect(log.wal.read(positions[8]!)).rejects.toThrow(WalRemovedError)
  await expect(log.wal.readRange(positions[0]!, 1, () => true)).rejects.toThrow(WalRemovedError)
  expect((await log.wal.read(positions[9]!)).payload.toString()).toBe(ALL[9])
})

test('removals that are asked for at once are done one after the other', async () => {
  const disk = new MemoryDisk()
  const { log, positions } = await filled(disk)
  await Promise.all([9, 3, 6].map((index) => log.wal.removeBefore(positions[index]!)))
  expect(log.wal.begin).toBe(3 * SMALL_SEGMENT_BYTES)
  await log.wal.close()
  expect((await TextLog.open(disk)).replayed).toEqual(ALL.slice(9))
})

test('a close amid a removal waits for it, and says that it did not end', async () => {
  const disk = new MemoryDisk()
  const { log, positions } = await filled(disk)
  const removed = log.wal.removeBefore(positions[9]!)
  await Promise.resolve()
  await log.wal.close()
  await expect(removed).rejects.toThrow(WalClosedError)
  const { operations } = disk
  await settle()
  expect(disk.operations).toBe(operations)
  await (await TextLog.open(disk)).wal.close()
})

test('a crash at any operation of a removal keeps all from the position on, and opens again', async () => {
  const calm = await filled(new MemoryDisk())
  expect(calm.log.failures).toEqual([])
  for (let step = 0; ; step++) {
    let from = Number.POSITIVE_INFINITY
    const fate = ({ index }: DiskOperation): Fate => (index === from + step ? 'crash' : 'done')
    const disk = new MemoryDisk({ fate })
    const { log, positions } = await filled(disk)
    from = disk.operations
    const outcome = await log.wal.removeBefore(positions[10]!).catch((error) => error)
    if (disk.operations <= from + step) break
    expect(outcome, `crash at ${step}`).toBeInstanceOf(WalFailedError)
    for (let seed = 0; seed < 8; seed++) await checkAfterCrash(disk, drawFrom(seed), `crash at ${step}, seed ${seed}`)
  }
})

async function checkAfterCrash(disk: MemoryDisk, draw: (bound: number) => number, label: string): Promise<void> {
  const survivor = disk.crash(draw)
  const seen: Position[] = []
  const log = await TextLog.open(survivor, {}, (position) => seen.push(position))
  expect([12, 9, 6, 3], label).toContain(log.replayed.length)
  expect(log.replayed, label).toEqual(ALL.slice(ALL.length - log.replayed.length))
  await log.append('new')
  await log.wal.removeBefore(seen.at(-1)!)
  await log.wal.close()
  expect((await TextLog.open(survivor)).replayed.slice(-2), label).toEqual([ALL.at(-1), 'new'])
}

test.each(['remove', 'syncDirectory'])('a failed %s of a removal stops the log', async (kind) => {
  let failing = false
  const options: MemoryDiskOptions = { fate: (operation) => (failing && operation.kind === kind ? 'EIO' : 'done') }
  const { log, positions } = await filled(new MemoryDisk(options))
  failing = true
  await expect(log.wal.removeBefore(positions[10]!)).rejects.toThrow(WalFailedError)
  expect(log.failures).toHaveLength(1)
  await log.wal.close()
})

test('a removed file is told from a lost one', async () => {
  const disk = new MemoryDisk()
  const { log, positions } = await filled(disk)
  await log.wal.removeBefore(positions[4]!)
  await log.wal.close()
  disk.erase(`${DIRECTORY}/000000000002.wal`)
  await expect(TextLog.open(disk)).rejects.toMatchObject({
    code: 'WAL_DAMAGED',
    file: `${DIRECTORY}/000000000002.wal`,
  })
})

test('rot in the record that allows the removal is damage, not a log that begins later', async () => {
  const disk = new MemoryDisk()
  const { log, positions } = await filled(disk)
  await log.wal.removeBefore(positions[10]!)
  const path = `${DIRECTORY}/000000000004.wal`
  const content = disk.contentOf(path)
  const end = content.findLastIndex((byte) => byte !== 0)
  content[end]! ^= 1
  const rotten = disk.kill()
  rotten.overwrite(path, content)
  await expect(TextLog.open(rotten)).rejects.toMatchObject({ code: 'WAL_DAMAGED' })
})

test('a removal makes room on a full disk at once', async () => {
  const disk = new MemoryDisk({ capacityBytes: 5 * SMALL_SEGMENT_BYTES })
  const { log, positions } = await filled(disk)
  expect(log.wal.spaceLow).toBe(true)
  await log.wal.removeBefore(positions[4]!)
  await settle()
  expect(log.wal.spaceLow).toBe(false)
  expect(log.space).toEqual([true, false])
})
