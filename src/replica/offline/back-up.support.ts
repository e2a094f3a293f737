import { FileDraft, MemoryDisk } from '../../wal/index.ts'
import type { Replica } from '../replica.ts'

/** Where `backUp` leaves the backup. */
export const BACKUP_FILE = '/backups/monday'

/** Takes a backup from a node, into a file on a disk of its own. */
export async function backUp({ replica }: { readonly replica: Replica }): Promise<MemoryDisk> {
  const disk = new MemoryDisk()
  await disk.makeDirectory('/backups')
  const draft = await FileDraft.begin(disk, BACKUP_FILE)
  const stream = await replica.streamSnapshot()
  for (let piece = await stream.next(); piece !== undefined; piece = await stream.next()) await draft.append(piece)
  await stream.close()
  await draft.publish()
  return disk
}
