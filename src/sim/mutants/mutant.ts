import type { Profile } from '../faults/plan.ts'

/** One place in the source that a mutant changes. */
export interface Edit {
  /** Below the repository's root. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
}

/** A known mistake. The simulator must find it. */
export interface Mutant {
  /** Kebab-case; names it on the command line. */
  readonly name: string
  /** What is wrong with the changed program, in a sentence. */
  readonly mistake: string
  readonly edits: readonly Edit[]
  /** Which runs can find it. Undefined: `databases`. */
  readonly profile?: Profile
}

/** A mutant of one edit. */
export function mutant(name: string, mistake: string, file: string, find: string, replace: string): Mutant {
  return { name, mistake, edits: [{ file, find, replace }] }
}

/**
 * `source` with the edit applied.
 *
 * @throws Error when the place is not there exactly once: the code has moved on, and the mutant must follow
 */
export function applyEdit(source: string, { file, find, replace }: Edit): string {
  const at = source.indexOf(find)
  if (at < 0) throw new Error(`${file} does not contain what the mutant changes:\n${find}`)
  if (source.indexOf(find, at + 1) >= 0)
    throw new Error(`${file} contains more than once what the mutant changes:\n${find}`)
  return source.slice(0, at) + replace + source.slice(at + find.length)
}
