import { ConcordatError } from '../../base/index.ts'
import { type Disk, writeAll } from '../../wal/index.ts'

/** The data was made by a participant of another name: its branches in doubt are waited for under that one. */
export class KvNameChangedError extends ConcordatError {
  readonly code = 'KV_NAME_CHANGED'

  constructor(directory: string, found: string, wanted: string) {
    super(
      `${directory} is the data of the participant ${found}, and this is ${wanted}; nothing was changed. Start it under its ` +
        'own name, or with a directory of its own: decisions for its branches in doubt come to the old name',
    )
  }
}

const NAME_BYTES_MAX = 256

/** Makes the directory this participant's, or sees that it is. @throws KvNameChangedError, and what the disk refuses */
export async function claimDirectory(disk: Disk, directory: string, name: string): Promise<void> {
  await disk.makeDirectory(directory)
  const path = `${directory}/name`
  const names = await disk.list(directory)
  if (names.includes('name')) {
    const found = await textOf(disk, path)
    if (found !== name) throw new KvNameChangedError(directory, found, name)
    return
  }
  // Of a start that did not come to its end.
  if (names.includes('name.new')) await disk.remove(`${path}.new`)
  const file = await disk.openFile(`${path}.new`, { create: true })
  try {
    await writeAll(file, Buffer.from(name), 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(`${path}.new`, path)
  await disk.syncDirectory(directory)
}

async function textOf(disk: Disk, path: string): Promise<string> {
  const file = await disk.openFile(path)
  try {
    const bytes = Buffer.alloc(NAME_BYTES_MAX)
    return bytes.toString('utf8', 0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}
