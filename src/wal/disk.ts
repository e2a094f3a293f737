/** How a file is opened. */
export interface OpenOptions {
  /** Makes the file; it must not exist yet. Without it the file must exist. */
  readonly create?: boolean
  /** Every write is on disk before it reports done (`O_DSYNC`). */
  readonly durable?: boolean
}

/** One open file. Offsets and sizes are in bytes. Every failure is an Error with a POSIX `code` such as `EIO`. */
export interface DiskFile {
  /**
   * Writes all of `bytes` at `offset`, then calls `done` once. A callback, not a promise: it is the hot path, and
   * a promise costs 16 µs a write. `bytes` must not change before `done`.
   */
  write(bytes: Uint8Array, offset: number, done: (error: Error | null) => void): void
  /** Fills `target` from `offset` and resolves to the bytes read: fewer than asked only at the end of the file. */
  read(target: Uint8Array, offset: number): Promise<number>
  /**
   * Writes zeros from the start up to `size` and syncs them. They are really written: a later write inside changes
   * no metadata, so it costs one disk write instead of two, and it cannot run out of space.
   */
  preallocate(size: number): Promise<void>
  /** Resolves when everything written so far is on disk (`fsync`). */
  sync(): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

/**
 * The seam to the file system. `nodeDisk` is the machine's own; `MemoryDisk` is simulated and can crash and fail.
 *
 * Paths are absolute, or relative to where the process runs, with `/` between names. A name in a missing directory
 * fails with `ENOENT`. An open file outlives the removal of its name.
 *
 * Names in a directory are durable only after `syncDirectory`; bytes only after `sync`, or in a durable file once
 * the write is done. After a failed write or sync nothing is known about the bytes: reading them back proves
 * nothing, since the page cache keeps what the disk has not.
 */
export interface Disk {
  /** Makes the directory and its missing parents, and makes their names durable. No error when it exists. */
  makeDirectory(path: string): Promise<void>
  /** The names of files and directories in a directory, in no particular order. */
  list(path: string): Promise<readonly string[]>
  openFile(path: string, options?: OpenOptions): Promise<DiskFile>
  /**
   * Gives the file another name, in the same directory or in another one of the same disk; replaces a file of that
   * name in one step. Between directories, sync the new one before the old one: a crash between leaves both names.
   */
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** Resolves when the directory's names are on disk. */
  syncDirectory(path: string): Promise<void>
  /**
   * Keeps every other process out of the directory; resolves to what releases it.
   * @throws WalLockedError while another live process holds it
   */
  lock(directory: string): Promise<() => Promise<void>>
}

/** Whether the error says that no room is left, by the disk or by a quota. Room may come back; other errors are final. */
export function isOutOfSpace(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** `file.write` as a promise, for everything but the hot path. */
export function writeAll(file: DiskFile, bytes: Uint8Array, offset: number): Promise<void> {
  return new Promise((resolve, reject) => {
    file.write(bytes, offset, (error) => (error === null ? resolve() : reject(error)))
  })
}
