import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { ConcordatError } from '../../base/index.ts'

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

/** Makes the directory this participant's, or sees that it is. @throws KvNameChangedError, and what the disk refuses */
export async function claimDirectory(directory: string, name: string): Promise<void> {
  await mkdir(directory, { recursive: true })
  const path = join(directory, 'name')
  const found = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (found === name) return
  if (found !== undefined) throw new KvNameChangedError(directory, found, name)
  const file = await open(`${path}.new`, 'w')
  try {
    await file.writeFile(name)
    await file.sync()
  } finally {
    await file.close()
  }
  // A crash right now may lose it: nothing was promised yet, and the next start writes it again.
  await rename(`${path}.new`, path)
}
