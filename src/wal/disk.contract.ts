import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Disk, type DiskFile, writeAll } from './disk.ts'
import { WalLockedError } from './errors.ts'

/** What every Disk does. `make` gives a disk and a directory on it that exists and is empty. */
export function diskContract(
  title: string,
  make: () => Promise<{ readonly disk: Disk; readonly directory: string; close(): Promise<void> }>,
): void {
  describe(`the disk: ${title}`, () => {
    let world: Awaited<ReturnType<typeof make>>
    let disk: Disk
    beforeEach(async () => {
      world = await make()
      disk = world.disk
    })
    afterEach(() => world.close())

    const at = (name: string): string => `${world.directory}/${name}`
    const made = (name: string): Promise<DiskFile> => disk.openFile(at(name), { create: true, durable: true })
    async function textOf(file: DiskFile, offset: number, length: number): Promise<string> {
      const target = Buffer.alloc(length)
      return target.toString('latin1', 0, await file.read(target, offset))
    }

    test('what was written reads back, also from another handle and after a rename', async () => {
      const file = await made('a')
      await writeAll(file, Buffer.from('hello world'), 0)
      await writeAll(file, Buffer.from('W'), 6)
      await file.sync()
      await file.close()
      await disk.rename(at('a'), at('b'))
      const again = await disk.openFile(at('b'))
      expect(await textOf(again, 0, 11)).toBe('hello World')
      await again.close()
    })

    test('a read past the end gives what there is', async () => {
      const file = await made('a')
      await writeAll(file, Buffer.from('abc'), 0)
      expect(await textOf(file, 1, 10)).toBe('bc')
      expect(await textOf(file, 3, 10)).toBe('')
      await file.close()
    })

    test('preallocated room is zeros and counts as size; a write inside keeps the size', async () => {
      const file = await made('a')
      await file.preallocate(10_000)
      expect(await file.size()).toBe(10_000)
      await writeAll(file, Buffer.from('x'), 9_999)
      expect(await file.size()).toBe(10_000)
      expect(await textOf(file, 9_997, 10)).toBe('\0\0x')
      await file.close()
    })

    test('a file is made once, and one that is not there cannot be opened', async () => {
      await (await made('a')).close()
      await expect(made('a')).rejects.toMatchObject({ code: 'EEXIST' })
      await expect(disk.openFile(at('b'))).rejects.toMatchObject({ code: 'ENOENT' })
      await expect(disk.remove(at('b'))).rejects.toMatchObject({ code: 'ENOENT' })
    })

    test('a directory lists its names; a rename replaces, a removal takes away', async () => {
      for (const name of ['a', 'b', 'c']) await (await made(name)).close()
      await disk.rename(at('a'), at('b'))
      await disk.remove(at('c'))
      await disk.syncDirectory(world.directory)
      expect(await disk.list(world.directory)).toEqual(['b'])
    })

    test('directories are made with their parents, and again without harm', async () => {
      await disk.makeDirectory(at('x/y/z'))
      await disk.makeDirectory(at('x/y/z'))
      expect(await disk.list(at('x/y/z'))).toEqual([])
    })

    test('a directory lists the directories in it too, and a name in a missing one is refused', async () => {
      await disk.makeDirectory(at('sub'))
      await (await made('sub/a')).close()
      await (await made('b')).close()
      expect([...(await disk.list(world.directory))].sort()).toEqual(['b', 'sub'])
      expect(await disk.list(at('sub'))).toEqual(['a'])
      await expect(made('missing/a')).rejects.toMatchObject({ code: 'ENOENT' })
      await expect(disk.rename(at('b'), at('missing/b'))).rejects.toMatchObject({ code: 'ENOENT' })
      await expect(disk.list(at('missing'))).rejects.toMatchObject({ code: 'ENOENT' })
      await expect(disk.rename(at('c'), at('d'))).rejects.toMatchObject({ code: 'ENOENT' })
    })

    test('a file moves to another directory, and replaces one of its name there', async () => {
      await disk.makeDirectory(at('sub'))
      for (const name of ['a', 'sub/a']) {
        const file = await made(name)
        await writeAll(file, Buffer.from(`from ${name}`), 0)
        await file.close()
      }
      await disk.rename(at('a'), at('sub/a'))
      await disk.syncDirectory(at('sub'))
      await disk.syncDirectory(world.directory)
      expect(await disk.list(world.directory)).toEqual(['sub'])
      const moved = await disk.openFile(at('sub/a'))
      expect(await textOf(moved, 0, 20)).toBe('from a')
      await moved.close()
    })

    test('an open file outlives its name', async () => {
      const file = await made('a')
      await writeAll(file, Buffer.from('kept'), 0)
      await disk.remove(at('a'))
      expect(await textOf(file, 0, 10)).toBe('kept')
      await file.close()
    })

    test('a file that is not durable grows by its writes, and leaves zeros where nothing was written', async () => {
      const file = await disk.openFile(at('a'), { create: true })
      await writeAll(file, Buffer.from('abc'), 0)
      await writeAll(file, Buffer.from('xyz'), 10_000)
      await file.sync()
      expect(await file.size()).toBe(10_003)
      expect(await textOf(file, 1, 4)).toBe('bc\0\0')
      expect(await textOf(file, 9_998, 9)).toBe('\0\0xyz')
      await file.close()
    })

    test('a directory is locked once, and again after its release', async () => {
      const release = await disk.lock(world.directory)
      await expect(disk.lock(world.directory)).rejects.toThrow(WalLockedError)
      await release()
      await (await disk.lock(world.directory))()
    })
  })
}
