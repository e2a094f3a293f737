import { expect, test } from 'vitest'
import type { Disk, DiskFile } from './disk.ts'
import { DIRECTORY, settle, TextLog } from './fixture.support.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { Fate } from './memory-faults.ts'

const FIRST = `${DIRECTORY}/000000000001.wal`

test('a failed log closes no file under a write that is under way', async () => {
  const held: (() => void)[] = []
  let holding = false
  const memory = new MemoryDisk({
    delayWrite: (complete) => void (holding ? held.push(complete) : queueMicrotask(complete)),
    fate: ({ kind }): Fate => (holding && kind === 'preallocate' ? 'EIO' : 'done'),
  })
  let underWay = 0
  const closedUnder: string[] = []
  const disk = wrapping(memory, (path, file) => ({
    ...delegate(file),
    write: (bytes, offset, done) => {
      underWay++
      file.write(bytes, offset, (error) => {
        underWay--
        done(error)
      })
    },
    close: async () => {
      if (path === FIRST && underWay > 0) closedUnder.push(path)
      await file.close()
    },
  }))
  const log = await TextLog.open(disk)
  await settle()
  holding = true
  const done = log.append('a'.repeat(3000))
  await settle()
  // The write is held; meanwhile the spare for the segment after the next one fails.
  log.append('b'.repeat(3000)).catch(() => undefined)
  await settle()
  expect(log.failures).toHaveLength(1)
  const closing = log.wal.close()
  await settle()
  for (const complete of held) complete()
  await closing
  await expect(done).rejects.toThrow()
  expect(closedUnder).toEqual([])
})

test('a range read that is overtaken by a write sees its records, or ends before them', async () => {
  const memory = new MemoryDisk()
  let slow: (() => void) | undefined
  let slowly = false
  const disk = wrapping(memory, (_, file) => ({
    ...delegate(file),
    read: async (target, offset) => {
      const count = await file.read(target, offset)
      if (slowly) await new Promise<void>((resolve) => (slow = resolve))
      return count
    },
  }))
  const log = await TextLog.open(disk)
  await settle()
  const { positions, done } = log.place('a')
  await done
  slowly = true
  const seen: string[] = []
  const reading = log.wal.readRange(positions[0]!, 1e6, ({ payload }) => {
    seen.push(payload.toString())
    return true
  })
  await settle()
  await log.append('b')
  slowly = false
  slow!()
  await reading
  expect([['a'], ['a', 'b']]).toContainEqual(seen)
  await log.wal.close()
})

function delegate(file: DiskFile): DiskFile {
  return {
    write: (bytes, offset, done) => file.write(bytes, offset, done),
    read: (target, offset) => file.read(target, offset),
    preallocate: (size) => file.preallocate(size),
    sync: () => file.sync(),
    size: () => file.size(),
    close: () => file.close(),
  }
}

function wrapping(memory: MemoryDisk, wrap: (path: string, file: DiskFile) => DiskFile): Disk {
  return {
    makeDirectory: (path) => memory.makeDirectory(path),
    list: (path) => memory.list(path),
    openFile: async (path, options) => wrap(path, await memory.openFile(path, options)),
    rename: (from, to) => memory.rename(from, to),
    remove: (path) => memory.remove(path),
    syncDirectory: (path) => memory.syncDirectory(path),
    lock: (directory) => memory.lock(directory),
  }
}
