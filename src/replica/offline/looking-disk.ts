import { type Disk, UNFINISHED } from '../../wal/index.ts'

/**
 * A disk for whoever only looks: what would change it does nothing, or fails when something depends on it. Opening a
 * directory tidies it up, and nobody who asks what is there wants that.
 */
export function lookingDisk(disk: Disk): Disk {
  const nothing = async (): Promise<void> => {}
  const refuse = async (): Promise<never> => {
    throw new Error('this directory is only looked at')
  }
  return {
    list: (path) => disk.list(path),
    openFile: (path, options) => (options?.create === true ? refuse() : disk.openFile(path)),
    makeDirectory: nothing,
    syncDirectory: nothing,
    remove: nothing,
    rename: refuse,
    lock: (directory) => disk.lock(directory),
  }
}

/**
 * The same disk, for parts that take the lock of a directory that their caller holds already. They also open a log whose
 * recovery has not ended: their caller is who ends it.
 */
export function heldDisk(disk: Disk): Disk {
  return {
    list: async (path) => (await disk.list(path)).filter((name) => name !== UNFINISHED),
    openFile: (path, options) => disk.openFile(path, options),
    makeDirectory: (path) => disk.makeDirectory(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    remove: (path) => disk.remove(path),
    rename: (from, to) => disk.rename(from, to),
    lock: async () => async () => {},
  }
}
