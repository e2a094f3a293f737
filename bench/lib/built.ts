import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** The repository. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * A folder of the built package. What is measured is what users get: loaded through tsx, the same source pays for a
 * function's name each time that a closure is made.
 *
 * @example
 * const { Concordat } = await built<typeof import('../src/client/index.ts')>('client')
 */
export async function built<Module>(folder: string): Promise<Module> {
  return (await import(pathToFileURL(join(root, 'dist', folder, 'index.js')).href)) as Module
}
