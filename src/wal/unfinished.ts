import type { Disk } from './disk.ts'
import { FileDraft, listFiles, readPieces, removeDurably } from './file-draft.ts'

/** While a file of this name is in a directory, its log does not open. Holds a note of whoever put it there. */
export const UNFINISHED = 'recovery.unfinished'

const NOTE_BYTES_MAX = 4096

/**
 * Durably notes that the log of a directory is being replaced in several steps. Until `clearUnfinished` no crash leaves
 * a directory that passes for whole: Wal.open refuses it.
 *
 * @param note what whoever goes on has to know
 */
export async function markUnfinished(disk: Disk, directory: string, note: string): Promise<void> {
  const draft = await FileDraft.begin(disk, `${directory}/${UNFINISHED}`)
  try {
    await draft.append(Buffer.from(note))
    await draft.publish()
  } catch (error) {
    // What failed is more telling than what the clean-up says.
    await draft.discard().catch(() => undefined)
    throw error
  }
}

/** The note of a replacement that was begun and has not ended; undefined when there is none. */
export async function unfinishedNote(disk: Disk, directory: string): Promise<string | undefined> {
  const { files } = await listFiles(disk, directory)
  if (!files.includes(UNFINISHED)) return undefined
  const pieces: Buffer[] = []
  await readPieces(disk, `${directory}/${UNFINISHED}`, (piece) => void pieces.push(piece))
  return Buffer.concat(pieces).subarray(0, NOTE_BYTES_MAX).toString()
}

/** The log is whole again: from now on it opens. */
export function clearUnfinished(disk: Disk, directory: string): Promise<void> {
  return removeDurably(disk, `${directory}/${UNFINISHED}`)
}
