import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** The repository. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * A folder of the built package. What is measured is what users get, not the sources behind a loader.
 *
 * @example
 * const { Concordat } = await built<typeof import('../src/client/index.ts')>('client')
 */
export async function built<Module>(folder: string): Promise<Module> {
  return (await import(pathToFileURL(join(root, 'dist', folder, 'index.js')).href)) as Module
}
