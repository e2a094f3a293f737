import { expect, test, vi } from 'vitest'
import { parseClusterId, parseNodeId } from '../base/index.ts'
import {
  WalClosedError,
  WalFailedError,
  WalIdentityError,
  WalLockedError,
  WalNotEmptyError,
  WalRecordTooLargeError,
  WalVersionError,
} from './errors.ts'
import { DIRECTORY, diskFailingAt, SMALL_SEGMENT_BYTES, settle, TextLog, texts } from './fixture.support.ts'
import {
  DATA_OFFSET,
  decodeSegmentHeader,
  EMPTY_BATCH_BYTES,
  encodeSegmentHeader,
  type Position,
  RECORD_HEAD_BYTES,
} from './format.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { DiskOperation, Fate } from './memory-faults.ts'

test('a log gives back its records in order after a close', async () => {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  expect(log.wal.fresh).toBe(true)
  await log.append('one', 'two')
  await log.append('three')
  await log.wal.close()
  const again = await TextLog.open(disk)
  expect(again.replayed).toEqual(['one', 'two', 'three'])
  expect(again.wal.fresh).toBe(false)
  expect(again.wal.storeId).toBe(log.wal.storeId)
})

test('a log goes on over many segments, closes and opens', async () => {
  const disk = new MemoryDisk()
  const all: string[] = []
  for (let round = 0; round < 5; round++) {
    const log = await TextLog.open(disk)
    expect(log.replayed).toEqual(all)
    for (const text of texts(7, 1100, `round${round}-`)) {
      await log.append(text)
      all.push(text)
    }
    await log.wal.close()
  }
  expect((await TextLog.open(disk)).replayed).toEqual(all)
})

test('all appends of a turn go out in one write, and all appends during a write in the next', async () => {
  const held: (() => void)[] = []
  let hold = false
  const disk = new MemoryDisk({ delayWrite: (complete) => (hold ? held.push(complete) : queueMicrotask(complete)) })
  const log = await TextLog.open(disk)
  await settle()
  hold = true
  const first = [log.append('a'), log.append('b')]
  await settle()
  const second = [log.append('c'), log.append('d')]
  await settle()
  expect(held).toHaveLength(1)
  expect(log.durable).toEqual([])
  held.shift()!()
  await Promise.all(first)
  expect(log.durable).toEqual(['a', 'b'])
  expect(held).toHaveLength(1)
  held.shift()!()
  await Promise.all(second)
  expect(log.durable).toEqual(['a', 'b', 'c', 'd'])
  expect(log.wal.stats).toMatchObject({ appends: 4, records: 4, writes: 2 })
})

test('the age and size of what waits for the disk are known while a write hangs', async () => {
  const held: (() => void)[] = []
  let hold = false
  const disk = new MemoryDisk({ delayWrite: (complete) => (hold ? held.push(complete) : queueMicrotask(complete)) })
  const log = await TextLog.open(disk)
  await settle()
  expect([log.wal.oldestWriteAgeMs, log.wal.pendingBytes]).toEqual([0, 0])
  hold = true
  const first = log.append('a')
  await settle()
  log.clock.advance(700)
  const second = log.append(...texts(3, 3000))
  log.clock.advance(30)
  await settle()
  expect(log.wal.oldestWriteAgeMs).toBe(730)
  expect(log.wal.stats.pendingBytes).toBe(log.wal.pendingBytes)
  expect(log.wal.pendingBytes).toBeGreaterThan(9000)
  hold = false
  held.shift()!()
  await first
  expect(log.wal.oldestWriteAgeMs).toBe(30)
  await second
  await settle()
  expect([log.wal.oldestWriteAgeMs, log.wal.pendingBytes]).toEqual([0, 0])
})

test('the log takes time, turns and chance from its owner alone', async () => {
  const trace = async (): Promise<string> => {
    const operations: string[] = []
    const disk = new MemoryDisk({
      fate: ({ kind, path, offset, bytes }) => {
        operations.push([kind, path, offset, bytes].join(' '))
        return 'done'
      },
    })
    const random = (): Buffer => Buffer.alloc(16, 5)
    const log = await TextLog.open(disk, { random, defer: (task) => queueMicrotask(task) })
    for (const text of texts(12, 900)) await log.append(text)
    log.clock.advance(50)
    await settle()
    await log.wal.close()
    return [log.wal.storeId, ...operations, ...disk.paths.map((path) => disk.contentOf(path).toString('hex'))].join(
      '\n',
    )
  }
  const spies = [vi.spyOn(Math, 'random'), vi.spyOn(Date, 'now'), vi.spyOn(performance, 'now')]
  const immediate = vi.spyOn(globalThis, 'setTimeout')
  const first = await trace()
  for (const spy of [...spies, immediate]) expect(spy).not.toHaveBeenCalled()
  vi.restoreAllMocks()
  expect(await trace()).toBe(first)
})

test('one append may be larger than a segment', async () => {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  const all = texts(20, 1000)
  await log.append(...all)
  expect((await TextLog.open(disk.kill())).replayed).toEqual(all)
})

test('an append of nothing is durable after all before it', async () => {
  const log = await TextLog.open(new MemoryDisk())
  const order: string[] = []
  log.append('x').then(() => order.push('x'))
  await new Promise<void>((resolve) => log.wal.append([], resolve))
  expect(log.durable).toEqual(['x'])
  await new Promise<void>((resolve) => log.wal.append([], resolve))
})

test('a payload in several pieces reads back in one', async () => {
  const log = await TextLog.open(new MemoryDisk())
  const pieces = [Buffer.from('to'), Buffer.alloc(0), Buffer.from('gether')]
  const [position] = log.wal.append([{ type: 200, payload: pieces }], () => undefined)
  expect(await log.wal.read(position!)).toMatchObject({ type: 200, payload: Buffer.from('together'), position })
})

test('a read waits until its record is durable, and goes on beside appends', async () => {
  const log = await TextLog.open(new MemoryDisk())
  const all = texts(60, 700)
  const positions: Position[] = []
  const reads: Promise<string>[] = []
  for (const text of all) {
    const [position] = log.place(text).positions
    positions.push(position!)
    reads.push(log.wal.read(position!).then(({ payload }) => payload.toString()))
    if (reads.length % 7 === 0) await reads.at(-1)
  }
  expect(await Promise.all(reads)).toEqual(all)
  expect(positions).toEqual([...positions].sort((a, b) => a - b))
})

test('a range read visits records in order over segments, until told to stop', async () => {
  const log = await TextLog.open(new MemoryDisk())
  const all = texts(30, 900)
  const positions = await log.appendEach(all)
  const range = async (from: number, bytesMax: number, stopAfter = Number.POSITIVE_INFINITY): Promise<string[]> => {
    const seen: string[] = []
    await log.wal.readRange(positions[from]!, bytesMax, (record) => seen.push(record.payload.toString()) < stopAfter)
    return seen
  }
  expect(await range(0, 1e9)).toEqual(all)
  expect(await range(13, 1e9)).toEqual(all.slice(13))
  expect(await range(5, 1800)).toEqual(all.slice(5, 7))
  expect(await range(5, 0)).toEqual(all.slice(5, 6))
  expect(await range(5, 1e9, 4)).toEqual(all.slice(5, 9))
})

test('a record that fits in no segment is refused, and its whole append with it', async () => {
  const log = await TextLog.open(new MemoryDisk())
  expect(() => log.place('small', 'x'.repeat(SMALL_SEGMENT_BYTES))).toThrow(WalRecordTooLargeError)
  await log.append('x'.repeat(SMALL_SEGMENT_BYTES - DATA_OFFSET - EMPTY_BATCH_BYTES - RECORD_HEAD_BYTES))
  expect(log.wal.stats.records).toBe(1)
})

test('a closed log refuses appends and reads', async () => {
  const log = await TextLog.open(new MemoryDisk())
  const { positions, done } = log.place('x')
  await log.wal.close()
  await done
  expect(() => log.place('y')).toThrow(WalClosedError)
  await expect(log.wal.read(positions[0]!)).rejects.toThrow(WalClosedError)
  await log.wal.close()
})

test('a failed write stops the log for good: one report, no acknowledgement, nothing retried', async () => {
  let fail = false
  const fate = (operation: DiskOperation): Fate => (fail && operation.kind === 'write' ? 'EIO' : 'done')
  const log = await TextLog.open(new MemoryDisk({ fate }))
  await settle()
  const { positions, done } = log.place('kept')
  await done
  fail = true
  const lost = log.append('lost')
  const after = log.append('after')
  await expect(lost).rejects.toThrow(WalFailedError)
  fail = false
  await settle()
  await expect(after).rejects.toThrow(WalFailedError)
  expect(log.failures).toHaveLength(1)
  expect(log.durable).toEqual(['kept'])
  expect(() => log.place('more')).toThrow(WalFailedError)
  await expect(log.wal.read(positions[0]!)).rejects.toThrow(WalFailedError)
  await log.wal.close()
})

test.each(['sync', 'rename', 'syncDirectory', 'preallocate'])(
  'a failed %s while a spare is made stops the log',
  async (kind) => {
    let fail = false
    const fate = (operation: DiskOperation): Fate => (fail && operation.kind === kind ? 'EIO' : 'done')
    const log = await TextLog.open(new MemoryDisk({ fate }))
    await settle()
    fail = true
    await log.append(...texts(6, 1000)).catch(() => undefined)
    await settle()
    expect(log.failures).toHaveLength(1)
    await log.wal.close()
  },
)

test('on a full disk the reserve still takes a whole segment; then the log fails', async () => {
  const disk = new MemoryDisk({ capacityBytes: 4 * SMALL_SEGMENT_BYTES })
  const log = await TextLog.open(disk)
  await settle()
  expect(log.wal.spaceLow).toBe(false)
  const third = texts(3, 1200)
  await log.append(...third)
  await log.append(...third)
  await settle()
  expect(log.wal.spaceLow).toBe(false)
  await log.append(...third)
  await settle()
  expect(log.wal.spaceLow).toBe(true)
  expect(log.space).toEqual([true])
  // The rest of the third segment is used; the fourth is the reserve.
  await log.append(...third)
  expect(log.failures).toEqual([])
  await expect(log.append(...third)).rejects.toThrow(/disk is full and the reserve is used up/)
  expect(log.failures).toHaveLength(1)
  // Without a spare to give up there is no room to prove the end: room must come first, and nothing is lost meanwhile.
  const full = disk.kill({ capacityBytes: 4 * SMALL_SEGMENT_BYTES })
  await expect(TextLog.open(full)).rejects.toThrow(/could not be opened: ENOSPC/)
  const again = await TextLog.open(full.kill())
  expect(again.replayed).toEqual([...third, ...third, ...third, ...third])
})

test('space that comes back is found by the retry, and reported', async () => {
  const limits = { capacityBytes: 2 * SMALL_SEGMENT_BYTES }
  const log = await TextLog.open(new MemoryDisk(limits))
  await settle()
  expect(log.wal.spaceLow).toBe(true)
  log.clock.advance(100)
  await settle()
  expect(log.wal.spaceLow).toBe(true)
  limits.capacityBytes = 10 * SMALL_SEGMENT_BYTES
  log.clock.advance(200)
  await settle()
  expect(log.space).toEqual([true, false])
  expect(log.wal.bytesOnDisk).toBe(3 * SMALL_SEGMENT_BYTES)
})

test('a node starts again on a full disk: the copy of the torn end takes the room of a spare', async () => {
  const capacityBytes = 3 * SMALL_SEGMENT_BYTES
  const disk = new MemoryDisk({ capacityBytes })
  const log = await TextLog.open(disk)
  await settle()
  await log.append('x')
  const again = await TextLog.open(disk.kill({ capacityBytes }))
  expect(again.replayed).toEqual(['x'])
  await again.append('y')
  await settle()
  expect(again.wal.spaceLow).toBe(false)
})

test('a directory of another node or cluster is refused and left alone', async () => {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  await settle()
  await log.wal.close()
  const before = disk.contentOf(`${DIRECTORY}/000000000001.wal`)
  const clusterId = parseClusterId('trips')
  await expect(TextLog.open(disk, { identity: { clusterId, nodeId: parseNodeId(2) } })).rejects.toThrow(
    WalIdentityError,
  )
  const other = { clusterId: parseClusterId('other'), nodeId: parseNodeId(1) }
  await expect(TextLog.open(disk, { identity: other })).rejects.toThrow(
    /node 1 of cluster trips.*node 1 of cluster other/,
  )
  expect(disk.contentOf(`${DIRECTORY}/000000000001.wal`)).toEqual(before)
  await (await TextLog.open(disk)).wal.close()
})

test('a directory with files but no log is refused; leftovers of a first start are not in the way', async () => {
  const disk = new MemoryDisk()
  disk.overwrite(`${DIRECTORY}/000000000001.tmp`, Buffer.from('half'))
  disk.overwrite(`${DIRECTORY}/lock.7`, Buffer.alloc(0))
  const log = await TextLog.open(disk)
  expect(log.wal.fresh).toBe(true)
  const stranger = new MemoryDisk()
  stranger.overwrite(`${DIRECTORY}/family-photos.zip`, Buffer.alloc(1))
  await expect(TextLog.open(stranger)).rejects.toThrow(WalNotEmptyError)
})

test('a newer minor version is read, another major version is refused', async () => {
  const withVersion = async (major: number, minor: number): Promise<MemoryDisk> => {
    const disk = new MemoryDisk()
    const log = await TextLog.open(disk)
    await log.append('x')
    await log.wal.close()
    const path = `${DIRECTORY}/000000000001.wal`
    const content = disk.contentOf(path)
    const decoded = decodeSegmentHeader(content)
    if (decoded.kind !== 'header') throw new Error('the header is whole')
    content.set(encodeSegmentHeader({ ...decoded.header, major, minor }))
    disk.overwrite(path, content)
    return disk
  }
  expect((await TextLog.open(await withVersion(1, 7))).replayed).toEqual(['x'])
  await expect(TextLog.open(await withVersion(2, 0))).rejects.toThrow(WalVersionError)
})

test('a second log on the same directory is refused until the first is closed', async () => {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  await expect(TextLog.open(disk)).rejects.toThrow(WalLockedError)
  await log.wal.close()
  await TextLog.open(disk)
})

test('a failed open says so, and gives the lock back', async () => {
  let failed = false
  const fate = (operation: DiskOperation): Fate => {
    const first = operation.kind === 'sync' && !failed
    failed ||= first
    return first ? 'EIO' : 'done'
  }
  const disk = new MemoryDisk({ fate })
  await expect(TextLog.open(disk)).rejects.toThrow(WalFailedError)
  expect((await TextLog.open(disk)).wal.fresh).toBe(true)
})

test('an idle log proves its last batch with a mark of its own', async () => {
  const log = await TextLog.open(new MemoryDisk())
  await log.append('x')
  log.clock.advance(50)
  await settle()
  expect(log.wal.stats).toMatchObject({ records: 1, writes: 2 })
  log.clock.advance(500)
  await settle()
  expect(log.wal.stats.writes).toBe(2)
})

test('segments of another size are used up, and new ones have the new size', async () => {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  await settle()
  await log.append('small')
  await log.wal.close()
  const larger = await TextLog.open(disk, { segmentBytesMax: 4 * SMALL_SEGMENT_BYTES })
  await larger.append('x'.repeat(3 * SMALL_SEGMENT_BYTES))
  await larger.wal.close()
  const again = await TextLog.open(disk)
  expect(again.replayed).toEqual(['small', 'x'.repeat(3 * SMALL_SEGMENT_BYTES)])
  await again.append('y'.repeat(4000))
  expect((await TextLog.open(disk.kill())).replayed).toHaveLength(3)
})

test('an operation that fails at any point of opening and writing is reported, never swallowed', async () => {
  for (let index = 0; ; index++) {
    const disk = diskFailingAt(index, 'EIO')
    const failed = await TextLog.open(disk).then(
      async (log) => {
        await log.append('x').catch(() => undefined)
        await settle()
        await log.wal.close()
        return log.failures.length
      },
      (error) => (error instanceof WalFailedError ? 1 : 0),
    )
    if (disk.operations <= index) break
    expect(failed, `EIO at operation ${index}`).toBe(1)
  }
})
