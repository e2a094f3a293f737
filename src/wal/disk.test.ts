import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { diskContract } from './disk.contract.ts'
import { MemoryDisk } from './memory-disk.ts'
import { nodeDisk } from './node-disk.ts'

diskContract("the machine's own", async () => {
  const directory = await mkdtemp(join(tmpdir(), 'cdt-disk-'))
  return { disk: nodeDisk, directory, close: () => rm(directory, { recursive: true }) }
})

diskContract('in memory', async () => {
  const disk = new MemoryDisk()
  await disk.makeDirectory('/d')
  return { disk, directory: '/d', close: async () => {} }
})
