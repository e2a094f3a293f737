import { expect, test } from 'vitest'
import { WalDamagedError } from './errors.ts'
import { DIRECTORY, diskHolding, IDENTITY, SMALL_SEGMENT_BYTES, TextLog, texts } from './fixture.support.ts'
import { DATA_OFFSET } from './format.ts'
import { makeLog } from './make-log.ts'
import { MemoryDisk } from './memory-disk.ts'
import { surveyLog } from './survey.ts'

const ALL = texts(9, 1300)
const FIRST = `${DIRECTORY}/000000000001.wal`

async function survey(disk: MemoryDisk) {
  const read: string[] = []
  const found = await surveyLog(disk, DIRECTORY, ({ payload }) => read.push(payload.toString()))
  return { found, read }
}

test('a look tells whose log it is and what is in it, and changes no byte, not even of a torn end', async () => {
  const disk = await diskHolding(ALL)
  disk.overwrite(
    `${DIRECTORY}/000000000004.wal`,
    disk.contentOf(`${DIRECTORY}/000000000004.wal`).fill(7, DATA_OFFSET + 600),
  )
  const before = disk.paths.map((path) => [path, disk.contentOf(path)])
  const { found, read } = await survey(disk)
  expect(found).toEqual({ identity: IDENTITY, storeId: '09'.repeat(16), damage: undefined })
  expect(read).toEqual(ALL)
  expect(disk.paths.map((path) => [path, disk.contentOf(path)])).toEqual(before)
})

test('of a damaged log a look reads what is good before the damage, and says where that is', async () => {
  const disk = await diskHolding(ALL)
  disk.rot(`${DIRECTORY}/000000000002.wal`, DATA_OFFSET + 7, 0x10)
  const { found, read } = await survey(disk)
  expect(found?.damage).toBeInstanceOf(WalDamagedError)
  expect(found?.damage?.file).toBe(`${DIRECTORY}/000000000002.wal`)
  expect(read.length).toBeGreaterThan(0)
  expect(read).toEqual(ALL.slice(0, read.length))
})

test('an owner is told by any header that is left; without one, or without a log, nobody is', async () => {
  const disk = await diskHolding(ALL)
  disk.rot(FIRST, 3, 0x10)
  expect((await survey(disk)).found).toMatchObject({ identity: IDENTITY, damage: { file: FIRST } })
  const empty = new MemoryDisk()
  await empty.makeDirectory(DIRECTORY)
  expect((await survey(empty)).found).toBeUndefined()
})

test('a log that is made with its first records has them from its first moment on, whatever crash comes', async () => {
  const firstRecords = texts(3).map((text) => ({ type: 1, payload: Buffer.from(text) }))
  const begin = { directory: DIRECTORY, identity: IDENTITY, segmentBytesMax: SMALL_SEGMENT_BYTES, firstRecords }
  let index = 0
  for (let ended = false; !ended; index++) {
    let met = false
    const fate = (operation: { readonly index: number }) => {
      if (operation.index < index) return 'done' as const
      met = true
      return 'EIO' as const
    }
    const disk = new MemoryDisk({ fate })
    const made = await (async () => {
      await disk.makeDirectory(DIRECTORY)
      return makeLog({ ...begin, disk })
    })().catch(() => undefined)
    ended = !met
    const after = disk.crash(() => 0, { fate: () => 'done' })
    await after.makeDirectory(DIRECTORY)
    const { found, read } = await survey(after)
    if (made !== undefined) expect(found?.storeId).toBe(made)
    expect(read).toEqual(found === undefined ? [] : texts(3))
    if (ended) expect((await TextLog.open(after)).replayed).toEqual(texts(3))
  }
  expect(index).toBeGreaterThan(5)
})
