import { expect, test } from 'vitest'
import { DIRECTORY, diskHolding, settle, TextLog, texts } from './fixture.support.ts'
import { DATA_OFFSET, MARK_BYTES } from './format.ts'
import { MemoryDisk } from './memory-disk.ts'
import { salvageLog } from './salvage.ts'

const ALL = texts(9, 1300)
const FIRST = `${DIRECTORY}/000000000001.wal`
const SECOND = `${DIRECTORY}/000000000002.wal`

async function salvage(disk: MemoryDisk): Promise<string[]> {
  const read: string[] = []
  await salvageLog(disk, DIRECTORY, ({ payload }) => read.push(payload.toString()))
  return read
}

test('of a log that is whole everything is read, and no byte is changed', async () => {
  const disk = await diskHolding(ALL)
  const before = disk.paths.map((path) => [path, disk.contentOf(path)])
  expect(await salvage(disk)).toEqual(ALL)
  expect(disk.paths.map((path) => [path, disk.contentOf(path)])).toEqual(before)
})

test('what is good before and behind a damage is read, and nothing that is bad', async () => {
  for (const [path, offset] of [
    [FIRST, DATA_OFFSET + 7],
    [FIRST, DATA_OFFSET + MARK_BYTES + 500],
    [SECOND, DATA_OFFSET + MARK_BYTES + 4],
  ] as const) {
    const disk = await diskHolding(ALL)
    disk.rot(path, offset, 0x10)
    const read = await salvage(disk)
    expect(read).toHaveLength(ALL.length - 1)
    expect(ALL.filter((text) => read.includes(text))).toEqual(read)
  }
})

test('a file without a header is passed over, and so is one that is missing or too short', async () => {
  const disk = await diskHolding(ALL)
  disk.rot(FIRST, 3, 0x10)
  const withoutFirst = await salvage(disk)
  expect(withoutFirst).toEqual(ALL.slice(-withoutFirst.length))
  disk.erase(SECOND)
  const rest = await salvage(disk)
  expect(rest.length).toBeGreaterThan(0)
  expect(rest).toEqual(ALL.slice(-rest.length))
  const third = `${DIRECTORY}/000000000003.wal`
  disk.overwrite(third, disk.contentOf(third).subarray(0, DATA_OFFSET + MARK_BYTES + 100))
  expect((await salvage(disk)).length).toBeLessThan(rest.length)
})

test('a bad record hides the others of its batch only when it does not say how long it is', async () => {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  await Promise.all(['a', 'b', 'c'].map((text) => log.append(text.repeat(100))))
  await settle()
  const whole = disk.kill()
  expect(await salvage(whole.crash(() => 0))).toEqual(['a', 'b', 'c'].map((text) => text.repeat(100)))
  const path = FIRST
  const at = whole.contentOf(path).indexOf('b'.repeat(100))
  const harmed = async (offset: number) => {
    const copy = whole.crash(() => 0)
    copy.rot(path, offset, 0x10)
    return (await salvage(copy)).map((text) => text[0])
  }
  expect(await harmed(at + 50)).toEqual(['a', 'c'])
  // Its length.
  const length = await harmed(at - 8)
  expect(length).not.toContain('b')
})
