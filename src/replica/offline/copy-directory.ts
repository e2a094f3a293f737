import { basename, dirname } from 'node:path'
import { type Disk, FileDraft, listFiles, readPieces, segmentPlaces } from '../../wal/index.ts'

/** What a node's state is made of. Locks and what was set aside before are left out. */
const WORTH_A_COPY = /\.(wal|aside|snap)$/

/**
 * Copies a data directory beside itself, durably, before something changes it. Files that had moved already, when setting
 * a damaged log aside was not finished, are in the copy where they were.
 *
 * @returns where the copy is
 */
export async function copyBeside(disk: Disk, directory: string, suffix: string): Promise<string> {
  const target = await freeName(disk, directory, suffix)
  for (const folder of ['', '/snapshots']) {
    const places = await worthACopy(disk, `${directory}${folder}`)
    if (folder !== '' && places.size === 0) continue
    await disk.makeDirectory(`${target}${folder}`)
    for (const [name, from] of places) await copyFile(disk, from, `${target}${folder}/${name}`)
  }
  return target
}

async function worthACopy(disk: Disk, folder: string): Promise<ReadonlyMap<string, string>> {
  const files = (await listFiles(disk, folder)).files.filter((name) => WORTH_A_COPY.test(name))
  const places = new Map(files.map((name) => [name, `${folder}/${name}`]))
  if (files.length === 0) return places
  return new Map([...places, ...(await segmentPlaces(disk, folder))])
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
