import { expect, test } from 'vitest'
import { Prng } from '../base/index.ts'
import { type DiskFile, writeAll } from './disk.ts'
import { drawFrom, settle } from './fixture.support.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { DiskOperation, Fate, MemoryDiskOptions } from './memory-faults.ts'

const PATH = '/d/a'

/** A disk with one durable file of zeros, and the file. */
async function withFile(options: MemoryDiskOptions = {}): Promise<{ disk: MemoryDisk; file: DiskFile }> {
  const disk = new MemoryDisk(options)
  await disk.makeDirectory('/d')
  const file = await disk.openFile(PATH, { create: true, durable: true })
  await file.preallocate(10_000)
  await disk.syncDirectory('/d')
  return { disk, file }
}

function failing(kind: DiskOperation['kind'], fate: Fate): { options: MemoryDiskOptions; switch: { on: boolean } } {
  const control = { on: false }
  return { options: { fate: (operation) => (control.on && operation.kind === kind ? fate : 'done') }, switch: control }
}

function startOf(disk: MemoryDisk, length = 4, path = PATH): string {
  return disk.contentOf(path).toString('latin1', 0, length)
}

test('a durable write survives; a write under way leaves any of its sectors, or its beginning', async () => {
  const held: (() => void)[] = []
  const { disk, file } = await withFile({ delayWrite: (complete) => held.push(complete) })
  file.write(Buffer.alloc(3000, 'x'), 100, () => {})
  const seen = new Set<string>()
  for (let seed = 0; seed < 200; seed++) {
    const content = disk.crash(drawFrom(seed)).contentOf(PATH)
    expect(content).toHaveLength(10_000)
    seen.add(content.toString('latin1', 0, 3200).replaceAll(/x+/g, 'x').replaceAll(/\0+/g, '0'))
    for (let at = 512; at < 3072; at += 512) {
      const sector = content.subarray(at, at + 512)
      const whole = sector.every((byte) => byte === sector[0])
      const cutOnce = /^x*\0*$/.test(content.toString('latin1', 100, 3200))
      expect(whole || cutOnce).toBe(true)
    }
  }
  expect(seen).toContain('0')
  expect(seen).toContain('0x0')
  expect(seen).toContain('0x0x0')
})

test('an unsynced write of a file that is not durable reads well, and a crash may lose it', async () => {
  const { disk } = await withFile()
  const file = await disk.openFile(PATH)
  await writeAll(file, Buffer.from('text'), 0)
  expect(startOf(disk)).toBe('text')
  expect(startOf(disk.crash(() => 0))).toBe('\0\0\0\0')
  expect(startOf(disk.crash((bound) => bound - 3))).toBe('text')
  await file.sync().catch(() => undefined)
})

test('a lost write reads well until the power goes', async () => {
  const { options, switch: control } = failing('write', 'lost')
  const { disk, file } = await withFile(options)
  await writeAll(file, Buffer.from('kept'), 0)
  control.on = true
  await writeAll(file, Buffer.from('gone'), 0)
  expect(startOf(disk)).toBe('gone')
  expect(startOf(disk.crash((bound) => bound - 1))).toBe('kept')
})

test('a misdirected write reads well until the power goes, and then stands elsewhere', async () => {
  const { options, switch: control } = failing('write', { misdirectedTo: 600 })
  const { disk, file } = await withFile(options)
  control.on = true
  await writeAll(file, Buffer.from('lost'), 0)
  expect(startOf(disk)).toBe('lost')
  const after = disk.crash(() => 0)
  expect(startOf(after)).toBe('\0\0\0\0')
  expect(after.contentOf(PATH).toString('latin1', 600, 604)).toBe('lost')
})

test('rot changes what is read and what is on the platter', async () => {
  const { disk, file } = await withFile()
  await writeAll(file, Buffer.from('text'), 0)
  disk.rot(PATH, 1, 0x01)
  disk.rot(PATH, 1_000_000, 0xff)
  expect(startOf(disk)).toBe('tdxt')
  expect(startOf(disk.crash(() => 0))).toBe('tdxt')
})

test.each(['read', 'sync', 'write'] as const)('a failed %s is reported with its code', async (kind) => {
  const { options, switch: control } = failing(kind, 'EIO')
  const { file } = await withFile(options)
  control.on = true
  const action = {
    read: () => file.read(Buffer.alloc(1), 0),
    sync: () => file.sync(),
    write: () => writeAll(file, Buffer.from('x'), 0),
  }[kind]
  await expect(action()).rejects.toMatchObject({ code: 'EIO' })
})

test('a crash after an operation keeps its effect, and nobody hears of it', async () => {
  const { options, switch: control } = failing('write', 'crashAfter')
  const { disk, file } = await withFile(options)
  control.on = true
  await expect(writeAll(file, Buffer.from('text'), 0)).rejects.toMatchObject({ code: 'crash' })
  expect(startOf(disk.crash(() => 0))).toBe('text')
})

test('the hook behind an operation may end the machine', async () => {
  let after: MemoryDisk | undefined
  const { disk, file } = await withFile({
    onDone: ({ kind }) => {
      if (kind === 'write') after = disk.crash(() => 0)
    },
  })
  await expect(writeAll(file, Buffer.from('text'), 0)).rejects.toMatchObject({ code: 'crash' })
  expect(startOf(after!)).toBe('text')
})

test('a machine that is gone may say nothing at all', async () => {
  const { disk, file } = await withFile({ whenDead: 'silent' })
  const heard: string[] = []
  file.write(Buffer.from('x'), 0, () => heard.push('write'))
  file.read(Buffer.alloc(1), 0).finally(() => heard.push('read'))
  disk.kill()
  file.sync().finally(() => heard.push('sync'))
  disk.list('/d').finally(() => heard.push('list'))
  await settle()
  expect(heard).toEqual([])
})

test('a slow disk does its operations when the clock says so', async () => {
  const held: { readonly kind: string; proceed(): void }[] = []
  let slow = false
  const { disk, file } = await withFile({
    delay: ({ kind }, proceed) => void (slow ? held.push({ kind, proceed }) : queueMicrotask(proceed)),
  })
  slow = true
  let synced = false
  const plain = disk.openFile(PATH)
  held.shift()!.proceed()
  const unsynced = await plain
  const done: string[] = []
  unsynced.write(Buffer.from('text'), 0, () => done.push('write'))
  const syncing = unsynced.sync().then(() => (synced = true))
  const reading = file.read(Buffer.alloc(4), 0)
  await settle()
  expect(held.map(({ kind }) => kind)).toEqual(['write', 'sync', 'read'])
  expect({ done, synced }).toEqual({ done: [], synced: false })
  for (const { proceed } of held) proceed()
  await Promise.all([syncing, reading])
  expect(done).toEqual(['write'])
})

test('a rename between directories is lost, kept, or leaves both names, as the directories were synced', async () => {
  const build = async (): Promise<MemoryDisk> => {
    const { disk } = await withFile()
    await disk.makeDirectory('/e')
    await disk.rename(PATH, '/e/b')
    return disk
  }
  const after = async (...synced: string[]): Promise<readonly string[]> => {
    const disk = await build()
    for (const directory of synced) await disk.syncDirectory(directory)
    return disk.crash(() => 0).paths
  }
  expect(await after()).toEqual([PATH])
  expect(await after('/e')).toEqual([PATH, '/e/b'])
  expect(await after('/d')).toEqual([])
  expect(await after('/e', '/d')).toEqual(['/e/b'])
})

test('a file of zeros costs no memory, and a write in it costs its own bytes', async () => {
  const { disk } = await withFile()
  const file = await disk.openFile('/d/large', { create: true, durable: true })
  const before = process.memoryUsage().arrayBuffers
  await file.preallocate(2 ** 32)
  for (let i = 0; i < 100; i++) await writeAll(file, Buffer.from('x'), i * 10_000_000)
  const later = disk.crash(() => 0)
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024)
  expect(later.paths).toEqual([PATH])
})

test('any writes, crashes and copies read as one plain array of bytes would', async () => {
  const prng = new Prng(7)
  const { disk, file } = await withFile()
  const plain = Buffer.alloc(40_000)
  let length = 10_000
  const copies: [MemoryDisk, Buffer][] = []
  for (let round = 0; round < 500; round++) {
    const bytes = Buffer.alloc(prng.below(9000), round)
    const offset = prng.below(30_000)
    bytes.copy(plain, offset)
    length = bytes.length === 0 ? Math.max(length, offset) : Math.max(length, offset + bytes.length)
    await writeAll(file, bytes, offset)
    const from = prng.below(length)
    const target = Buffer.alloc(prng.below(20_000), 0xee)
    const count = await file.read(target, from)
    expect(count).toBe(Math.min(target.length, length - from))
    expect(target.subarray(0, count).equals(plain.subarray(from, from + count))).toBe(true)
    if (round % 100 === 99) {
      const copy = new MemoryDisk()
      copy.overwrite(PATH, disk.contentOf(PATH))
      copies.push([copy, Buffer.from(plain.subarray(0, length))])
    }
  }
  for (const [copy, content] of copies) expect(copy.contentOf(PATH).equals(content)).toBe(true)
  expect(
    disk
      .crash(() => 0)
      .contentOf(PATH)
      .equals(plain.subarray(0, length)),
  ).toBe(true)
})
