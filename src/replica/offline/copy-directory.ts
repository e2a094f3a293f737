import { basename, dirname } from 'node:path'
import { type Disk, FileDraft, listFiles, readPieces } from '../../wal/index.ts'

/** What a node's state is made of. Locks and what was set aside before are left out. */
const WORTH_A_COPY = /\.(wal|aside|snap)$/

/**
 * Copies a data directory beside itself, durably, before something changes it.
 *
 * @returns where the copy is
 */
export async function copyBeside(disk: Disk, directory: string, suffix: string): Promise<string> {
  const target = await freeName(disk, directory, suffix)
  for (const folder of ['', '/snapshots']) {
    const { files } = await listFiles(disk, `${directory}${folder}`)
    const wanted = files.filter((name) => WORTH_A_COPY.test(name))
    if (folder !== '' && wanted.length === 0) continue
    await disk.makeDirectory(`${target}${folder}`)
    for (const name of wanted) await copyFile(disk, `${directory}${folder}/${name}`, `${target}${folder}/${name}`)
  }
  return target
}

async function freeName(disk: Disk, directory: string, suffix: string): Promise<string> {
  const taken = new Set(await disk.list(dirname(directory)))
  let number = 1
  while (taken.has(`${basename(directory)}.${suffix}-${number}`)) number++
  return `${directory}.${suffix}-${number}`
}

async function copyFile(disk: Disk, from: string, to: string): Promise<void> {
  const draft = await FileDraft.begin(disk, to)
  try {
    await readPieces(disk, from, (piece) => draft.append(piece))
    await draft.publish()
  } catch (error) {
    // What failed is more telling than what the clean-up says.
    await draft.discard().catch(() => undefined)
    throw error
  }
}
