import { expect, test } from 'vitest'
import { FileDraft, listFiles, readPieces, removeDraft, removeDurably } from './file-draft.ts'
import { drawFrom } from './fixture.support.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { DiskOperation, Fate } from './memory-faults.ts'

const DIRECTORY = '/data/snapshots'
const PATH = `${DIRECTORY}/one`

async function prepared(disk = new MemoryDisk()): Promise<MemoryDisk> {
  await disk.makeDirectory(DIRECTORY)
  return disk
}

async function published(disk: MemoryDisk, path: string, ...pieces: string[]): Promise<void> {
  const draft = await FileDraft.begin(disk, path)
  for (const piece of pieces) await draft.append(Buffer.from(piece))
  await draft.publish()
}

async function contentOf(disk: MemoryDisk, path: string): Promise<string> {
  let text = ''
  await readPieces(disk, path, (piece) => {
    text += piece.toString()
  })
  return text
}

test('a published file survives the loss of power, whole', async () => {
  const disk = await prepared()
  await published(disk, PATH, 'a whole ', 'file')
  expect(
    await contentOf(
      disk.crash(() => 0),
      PATH,
    ),
  ).toBe('a whole file')
})

test('a draft is no file yet, and is listed apart', async () => {
  const disk = await prepared()
  await published(disk, `${DIRECTORY}/old`, 'x')
  const draft = await FileDraft.begin(disk, PATH)
  await draft.append(Buffer.from('half'))
  expect(await listFiles(disk, DIRECTORY)).toEqual({ files: ['old'], drafts: ['one'] })
  await draft.discard()
  expect(await listFiles(disk, DIRECTORY)).toEqual({ files: ['old'], drafts: [] })
  expect(await listFiles(disk, '/data/nowhere')).toEqual({ files: [], drafts: [] })
})

test('the file of that name stays as it was until the new one is whole: a crash at any operation leaves one of them', async () => {
  for (let index = 0; ; index++) {
    let from = Number.POSITIVE_INFINITY
    const fate = (operation: DiskOperation): Fate => (operation.index === from + index ? 'crash' : 'done')
    const disk = await prepared(new MemoryDisk({ fate }))
    await published(disk, PATH, 'the old one')
    from = disk.operations
    const done = await published(disk, PATH, 'the ', 'new ', 'one').then(
      () => true,
      () => false,
    )
    if (disk.operations <= from + index) break
    expect(done).toBe(false)
    for (let seed = 0; seed < 20; seed++) {
      const after = disk.crash(drawFrom(seed))
      expect(['the old one', 'the new one'], `crash at ${index}, seed ${seed}`).toContain(await contentOf(after, PATH))
      await published(after, PATH, 'next')
      expect(await contentOf(after, PATH)).toBe('next')
    }
  }
})

test('a draft that was synced goes on after a crash, from what is good', async () => {
  const disk = await prepared()
  const draft = await FileDraft.begin(disk, PATH)
  await draft.append(Buffer.from('good'))
  await draft.sync()
  await draft.append(Buffer.from('lost'))
  const after = disk.crash(() => 0)
  const resumed = await FileDraft.resume(after, PATH, (piece, offset) => {
    expect({ piece: piece.toString('latin1'), offset }).toEqual({ piece: 'good\0\0\0\0', offset: 0 })
    return 4
  })
  expect(resumed!.length).toBe(4)
  await resumed!.append(Buffer.from(' and new'))
  await resumed!.publish()
  expect(await contentOf(after, PATH)).toBe('good and new')
  expect(await FileDraft.resume(after, PATH, () => 0)).toBeUndefined()
})

test('what a failed sync left in the page cache is written again before a resumed draft counts', async () => {
  let failing = false
  const disk = await prepared(new MemoryDisk({ fate: ({ kind }) => (failing && kind === 'sync' ? 'EIO' : 'done') }))
  const draft = await FileDraft.begin(disk, PATH)
  await draft.sync()
  await draft.append(Buffer.from('ghost'))
  failing = true
  await expect(draft.sync()).rejects.toMatchObject({ code: 'EIO' })
  const next = disk.kill()
  const resumed = await FileDraft.resume(next, PATH, (piece, offset) => offset + piece.length)
  await resumed!.publish()
  expect(
    await contentOf(
      next.crash(() => 0),
      PATH,
    ),
  ).toBe('ghost')
})

test('a large file is read in pieces, from any place', async () => {
  const disk = await prepared()
  const draft = await FileDraft.begin(disk, PATH)
  const text = Array.from({ length: 1000 }, (_, index) => `${index}`.padStart(10)).join('')
  for (let at = 0; at < text.length; at += 777) await draft.append(Buffer.from(text.slice(at, at + 777)))
  await draft.publish()
  const pieces: [number, number][] = []
  let read = ''
  const end = await readPieces(
    disk,
    PATH,
    async (piece, offset) => {
      pieces.push([offset, piece.length])
      await Promise.resolve()
      read += piece.toString()
    },
    { offset: 1234, pieceBytes: 4000 },
  )
  expect(end).toBe(10_000)
  expect(read).toBe(text.slice(1234))
  expect(pieces).toEqual([
    [1234, 4000],
    [5234, 4000],
    [9234, 766],
  ])
})

test('what was removed stays away after a crash, and again without harm', async () => {
  const disk = await prepared()
  await published(disk, PATH, 'x')
  await removeDurably(disk, PATH)
  await removeDurably(disk, PATH)
  expect(
    await listFiles(
      disk.crash(() => 0),
      DIRECTORY,
    ),
  ).toEqual({ files: [], drafts: [] })
})

test('a draft of an earlier run is thrown away by a new one, or by itself', async () => {
  const disk = await prepared()
  await (await FileDraft.begin(disk, PATH)).close()
  const draft = await FileDraft.begin(disk, PATH)
  await draft.append(Buffer.from('new'))
  await draft.close()
  await removeDraft(disk, PATH)
  await removeDraft(disk, PATH)
  expect(await listFiles(disk, DIRECTORY)).toEqual({ files: [], drafts: [] })
})

test('a full disk fails the draft, and its room comes back when it is discarded', async () => {
  const disk = await prepared(new MemoryDisk({ capacityBytes: 100 }))
  const draft = await FileDraft.begin(disk, PATH)
  await draft.append(Buffer.alloc(80))
  await expect(draft.append(Buffer.alloc(80))).rejects.toMatchObject({ code: 'ENOSPC' })
  await draft.discard()
  await published(disk, PATH, 'x'.repeat(100))
})
