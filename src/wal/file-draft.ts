import { dirname } from 'node:path'
import { assert } from '../base/index.ts'
import { type Disk, type DiskFile, writeAll } from './disk.ts'

const DRAFT_SUFFIX = '.draft'
const PIECE_BYTES = 256 * 1024

/**
 * A file that is written in pieces and gets its name only when it is whole and on disk. Until then it lives under its
 * name with `.draft` behind it, so whoever finds a file of a proper name finds all of it, after any crash.
 *
 * Failures are the disk's own (an Error with a POSIX `code`). After one the draft is of no use: discard it, and mind
 * that after `EIO` nothing else on that disk can be trusted either.
 *
 * @example
 * const draft = await FileDraft.begin(disk, `${directory}/snapshot-12-3`)
 * for (const chunk of chunks) await draft.append(chunk)
 * await draft.publish()
 */
export class FileDraft {
  readonly #disk: Disk
  readonly #path: string
  readonly #file: DiskFile
  #length = 0
  #underWay: Promise<void> | undefined
  #ended = false

  private constructor(disk: Disk, path: string, file: DiskFile) {
    this.#disk = disk
    this.#path = path
    this.#file = file
  }

  /** Begins an empty draft of the file `path`; an older draft of it is thrown away. Its directory must exist. */
  static async begin(disk: Disk, path: string): Promise<FileDraft> {
    const draft = draftPath(path)
    await removeIfThere(disk, draft)
    return new FileDraft(disk, path, await disk.openFile(draft, { create: true }))
  }

  /**
   * Goes on with the draft that an earlier run left, or answers undefined. After a crash any of its bytes may be lost
   * or old: `check` sees them all, in order and in pieces of at most 256 KiB, and answers how many of the bytes so far
   * are good; what lies behind is written over.
   *
   * Every piece is written again: after a failed sync the page cache holds bytes that read well and that no later sync
   * would write, since it takes them for clean (fsyncgate).
   */
  static async resume(
    disk: Disk,
    path: string,
    check: (piece: Buffer, offset: number) => number,
  ): Promise<FileDraft | undefined> {
    const file = await unlessMissing(disk.openFile(draftPath(path)))
    if (file === undefined) return undefined
    const draft = new FileDraft(disk, path, file)
    try {
      await readFrom(file, async (piece, offset) => {
        draft.#length = check(piece, offset)
        await writeAll(file, piece, offset)
      })
    } catch (error) {
      await draft.close()
      throw error
    }
    return draft
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length
  }

  /** Writes behind what is there. `bytes` must not change before it resolves. */
  append(bytes: Uint8Array): Promise<void> {
    return this.#exclusively(async () => {
      await writeAll(this.#file, bytes, this.#length)
      this.#length += bytes.length
    })
  }

  /** Reads what was written back; resolves to the bytes read. */
  read(target: Uint8Array, offset: number): Promise<number> {
    return this.#file.read(target, offset)
  }

  /** Puts what was written so far on disk, and the draft's name too, so that `resume` finds it after a crash. */
  sync(): Promise<void> {
    return this.#exclusively(async () => {
      await this.#file.sync()
      await this.#disk.syncDirectory(dirname(this.#path))
    })
  }

  /** Gives the file its name, replacing a file of that name. When this resolves, name and content survive a crash. */
  async publish(): Promise<void> {
    await this.#exclusively(async () => {
      const size = await this.#file.size()
      assert(size === this.#length, 'a resumed draft is written at least as far as it was before')
      await this.#file.sync()
    })
    await this.close()
    await this.#disk.rename(draftPath(this.#path), this.#path)
    await this.#disk.syncDirectory(dirname(this.#path))
  }

  /** Leaves the draft for a later `resume`. What is under way comes to its end first. */
  async close(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    await this.#underWay?.catch(() => undefined)
    await this.#file.close()
  }

  /** Throws the draft away. */
  async discard(): Promise<void> {
    await this.close()
    await removeIfThere(this.#disk, draftPath(this.#path))
  }

  async #exclusively(action: () => Promise<void>): Promise<void> {
    assert(!this.#ended && this.#underWay === undefined, 'one call at a time, and none after the end')
    this.#underWay = action()
    try {
      await this.#underWay
    } finally {
      this.#underWay = undefined
    }
  }
}

/** The names in a directory, whole files apart from drafts (named as they will be). A missing directory is empty. */
export async function listFiles(
  disk: Disk,
  directory: string,
): Promise<{ readonly files: readonly string[]; readonly drafts: readonly string[] }> {
  const names = [...((await unlessMissing(disk.list(directory))) ?? [])].sort()
  return {
    files: names.filter((name) => !name.endsWith(DRAFT_SUFFIX)),
    drafts: names.filter((name) => name.endsWith(DRAFT_SUFFIX)).map((name) => name.slice(0, -DRAFT_SUFFIX.length)),
  }
}

/**
 * Reads a file from `offset` on in pieces of at most `pieceBytes`, in order, and waits for `visit` before it reads
 * on. Each piece is memory of its own. Resolves to the offset at which it ended.
 */
export async function readPieces(
  disk: Disk,
  path: string,
  visit: (piece: Buffer, offset: number) => void | Promise<void>,
  { offset = 0, pieceBytes = PIECE_BYTES }: { readonly offset?: number; readonly pieceBytes?: number } = {},
): Promise<number> {
  const file = await disk.openFile(path)
  try {
    return await readFrom(file, visit, offset, pieceBytes)
  } finally {
    await file.close()
  }
}

/** Removes a file; when this resolves, it stays away after a crash. One that is not there is none to remove. */
export async function removeDurably(disk: Disk, path: string): Promise<void> {
  await removeIfThere(disk, path)
  // Also when it was gone already: an earlier removal may be known to the page cache alone.
  await disk.syncDirectory(dirname(path))
}

/** Throws away the draft that an earlier run left of the file `path`. */
export async function removeDraft(disk: Disk, path: string): Promise<void> {
  await removeIfThere(disk, draftPath(path))
}

function draftPath(path: string): string {
  return `${path}${DRAFT_SUFFIX}`
}

async function readFrom(
  file: DiskFile,
  visit: (piece: Buffer, offset: number) => void | Promise<void>,
  offset = 0,
  pieceBytes = PIECE_BYTES,
): Promise<number> {
  for (let at = offset; ; ) {
    const piece = Buffer.allocUnsafeSlow(pieceBytes)
    const count = await file.read(piece, at)
    if (count === 0) return at
    await visit(piece.subarray(0, count), at)
    at += count
  }
}

async function removeIfThere(disk: Disk, path: string): Promise<void> {
  await unlessMissing(disk.remove(path))
}

async function unlessMissing<T>(action: Promise<T>): Promise<T | undefined> {
  try {
    return await action
  } catch (error) {
    if ((error as NodeJS.ErrnoException | null)?.code === 'ENOENT') return undefined
    throw error
  }
}
