import { expect, test } from 'vitest'
import { Prng } from '../base/index.ts'
import { DIRECTORY, settle, TextLog, texts } from './fixture.support.ts'
import { DATA_OFFSET, EMPTY_BATCH_BYTES, RECORD_HEAD_BYTES } from './format.ts'
import { MemoryDisk } from './memory-disk.ts'

const SECOND = `${DIRECTORY}/000000000002.wal`
const SECTOR_BYTES = 512

/** Crash draws: keeps no names, and of each torn write the sectors for which `keeps` is true. */
function keepSectors(keeps: (sector: number) => boolean): (bound: number) => number {
  let sector = 0
  return (bound) => {
    if (bound === 4) {
      sector = 0
      return 3
    }
    return bound === 2 && keeps(sector++) ? 1 : 0
  }
}

test('a first write after a restart that is torn over the mark of the clean end is cut, at any offset', async () => {
  // The mark ends before, at and behind a sector's end, and begins at one.
  for (const before of [-26, -25, -24, -12, -1, 0].map((offset) => SECTOR_BYTES + offset)) {
    for (let pattern = 0; pattern < 16; pattern++) {
      const held: (() => void)[] = []
      const hold = { on: false }
      const delayWrite = (complete: () => void) => void (hold.on ? held.push(complete) : queueMicrotask(complete))
      const first = new MemoryDisk()
      const log = await TextLog.open(first)
      await settle()
      const kept = 'k'.repeat(before - EMPTY_BATCH_BYTES - RECORD_HEAD_BYTES)
      await log.append(kept)
      await log.wal.close()
      const disk = first.kill({ delayWrite })
      const again = await TextLog.open(disk)
      await settle()
      hold.on = true
      void again.append(...texts(8, 200, 'n'))
      await settle()
      const after = disk.crash(keepSectors((sector) => ((pattern >> Math.min(sector, 3)) & 1) === 1))
      const last = await TextLog.open(after)
      const label = `${before} bytes before the mark, sectors ${pattern.toString(2)}`
      expect([[kept], [kept, ...texts(8, 200, 'n')]], label).toContainEqual(last.replayed)
      await last.wal.close()
    }
  }
}, 60_000)

test('a bad mark before good records is damage also where a segment begins', async () => {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  await settle()
  await log.append('x'.repeat(3900))
  await log.append(...texts(8, 200))
  const content = disk.contentOf(SECOND)
  content[DATA_OFFSET + 6]! ^= 1
  disk.overwrite(SECOND, content)
  await expect(TextLog.open(disk.kill())).rejects.toMatchObject({ code: 'WAL_DAMAGED', file: SECOND })
})

test.each([0.3, 0.7])(
  'a large record of any bytes is cut when only its beginning reached the disk (%d of it)',
  async (part) => {
    const held: (() => void)[] = []
    let holding = false
    const disk = new MemoryDisk({
      delayWrite: (complete) => void (holding ? held.push(complete) : queueMicrotask(complete)),
    })
    const segmentBytesMax = 16 * 1024 * 1024
    const log = await TextLog.open(disk, { segmentBytesMax })
    await settle()
    await log.append('sure')
    holding = true
    const prng = new Prng(1)
    // Random bytes look like the heads of records of every length.
    log.wal.append(
      [{ type: 1, payload: Buffer.from(Array.from({ length: 300_000 }, () => prng.below(256))) }],
      () => {},
    )
    await settle()
    const draw = (bound: number) => (bound === 4 ? 2 : bound > 1000 ? Math.floor(bound * part) : 0)
    const after = await TextLog.open(disk.crash(draw), { segmentBytesMax })
    expect(after.replayed).toEqual(['sure'])
    await after.wal.close()
  },
)
