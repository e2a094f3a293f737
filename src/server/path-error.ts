import { ConcordatError, toError } from '../base/index.ts'

/** A file or directory that the caller named can't be used. */
export class PathUnusableError extends ConcordatError {
  readonly code = 'PATH_UNUSABLE'
}

/** What the first look at a wrong path says. A full or broken disk is another matter: that may come in the middle. */
const WRONG_PATH: ReadonlySet<string | undefined> = new Set([
  'ENOENT',
  'ENOTDIR',
  'EISDIR',
  'EEXIST',
  'EACCES',
  'EPERM',
  'EROFS',
  'ELOOP',
  'ENAMETOOLONG',
])

/**
 * Runs `work` on a path that an operator typed, and says it in words when that path is wrong.
 *
 * @throws PathUnusableError, and everything else as it comes
 */
export async function atPath<T>(path: string, use: 'read' | 'written', work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof ConcordatError || !WRONG_PATH.has((cause as NodeJS.ErrnoException).code)) throw cause
    throw new PathUnusableError(
      `${path} can't be ${use} (${toError(cause).message}); check the path and its rights. What was there was not changed.`,
      { cause },
    )
  }
}
