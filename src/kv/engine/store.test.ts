import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { MemoryDisk } from '../../wal/index.ts'
import { DiskStore } from './disk-store.ts'
import { KvStoreFailedError } from './errors.ts'
import { LmdbStore } from './lmdb-store.ts'
import { storeContract } from './store.contract.ts'

storeContract('LMDB', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'concordat-kv-'))
  return { open: () => LmdbStore.open(directory), remove: () => rm(directory, { recursive: true }) }
})

storeContract('on a simulated disk', async () => {
  const disk = new MemoryDisk()
  return { open: () => DiskStore.open(disk), remove: async () => {} }
})

test('a value of which a bit has changed is not read', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'concordat-kv-'))
  try {
    const store = await LmdbStore.open(directory)
    await store.write({ effects: [['da', Buffer.from('a value to be found in the file')]], mark: Buffer.from('m') })
    await store.close()
    const file = join(directory, 'data.mdb')
    const bytes = await readFile(file)
    // Copy-on-write may have left the page more than once.
    for (let at = bytes.indexOf('a value'); at >= 0; at = bytes.indexOf('a value', at + 1)) bytes[at + 3]! ^= 4
    await writeFile(file, bytes)
    const harmed = await LmdbStore.open(directory)
    expect(() => harmed.get('da')).toThrow(KvStoreFailedError)
    expect(() => [...harmed.entries({ from: 'd', to: 'e' })]).toThrow(/6461 \(in hex\) is damaged/)
    await harmed.close()
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('a directory that cannot be is refused in our words', async () => {
  await expect(LmdbStore.open('/dev/null/nowhere')).rejects.toThrow(KvStoreFailedError)
})
