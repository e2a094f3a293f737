import { readdir, readFile, readlink, rename, symlink, unlink } from 'node:fs/promises'
import { WalLockedError } from './errors.ts'

/**
 * A lock of files, for Node has no flock.
 *
 * The holder is named in `lock.<n>` of the greatest n: a symbolic link whose target is `<pid> <start>`. A link comes
 * into being with its content in one step, only if the name is free, and needs no block of a full disk.
 *
 * A lock is stale when its process is gone: no such pid, or the pid began at another time, or the machine has started
 * since (a pid is used again). Who finds a stale `lock.<n>` takes over by making `lock.<n+1>`, which only one can, and
 * then looks whether a greater one has come. The greatest is never removed, not even by release, which only changes
 * what it says: so no late comer can take a number that was in use and is free again.
 *
 * A process in another container that shares the directory has pids of its own and is not seen: give each node its
 * own volume.
 */
const LOCK_NAME = /^lock\.(\d{1,15})$/
const GONE = 'gone'
const PENDING_NAME = /^lock\.\d+\.released$/

/** Whether a file of this name belongs to the lock. */
export function isLockFile(name: string): boolean {
  return LOCK_NAME.test(name) || PENDING_NAME.test(name)
}

/** Takes the directory's lock and resolves to what releases it. @throws WalLockedError while a live process has it */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  const mine = `${process.pid} ${await startOf(process.pid)}`
  for (;;) {
    const top = Math.max(0, ...(await lockNumbers(directory)))
    if (top > 0) await refuseIfHeld(directory, top)
    const path = `${directory}/lock.${top + 1}`
    // Somebody else was faster, or is ahead already: look again who holds it.
    if (!(await unlessCode('EEXIST', symlink(mine, path)))) continue
    const numbers = await lockNumbers(directory)
    if (Math.max(...numbers) > top + 1) continue
    for (const number of numbers) {
      if (number <= top) await unlessCode('ENOENT', unlink(`${directory}/lock.${number}`))
    }
    return () => release(path)
  }
}

async function release(path: string): Promise<void> {
  const pending = `${path}.released`
  await unlessCode('EEXIST', symlink('released', pending))
  await rename(pending, path)
}

async function refuseIfHeld(directory: string, number: number): Promise<void> {
  const path = `${directory}/lock.${number}`
  // A file that is gone was cleaned away by a newer holder, whom the next look finds.
  const [, pid, start] = /^(\d+) (.+)$/.exec(await readlink(path).catch(() => '')) ?? []
  if (pid === undefined || start === undefined) return
  if (await isAlive(Number(pid), start)) throw new WalLockedError(directory, Number(pid), path)
}

async function isAlive(pid: number, start: string): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  // Where start times are not known, a living pid is taken for the holder: rather refuse than share.
  const now = await startOf(pid)
  if (now === GONE) return false
  return start === '-' || now === '-' || now === start
}

/** When the process began: boot id and clock ticks since boot (proc(5), /proc/pid/stat field 22); '-' without /proc, GONE for one that ended. */
async function startOf(pid: number): Promise<string> {
  try {
    // Short enough for the target to live in the link's inode.
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).slice(0, 13)
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // The second field, the name, may hold spaces and parentheses: count from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie has ended, though nobody has asked for its exit code yet.
    if (fields[0] === 'Z' || fields[0] === 'X') return GONE
    const ticks = fields[19]
    return `${boot}/${ticks}`
  } catch {
    return '-'
  }
}

async function lockNumbers(directory: string): Promise<number[]> {
  const names = await readdir(directory)
  return names.flatMap((name) => {
    const match = LOCK_NAME.exec(name)
    return match === null ? [] : [Number(match[1])]
  })
}

/** True when the action was done, false when it failed with `code`. */
async function unlessCode(code: string, action: Promise<unknown>): Promise<boolean> {
  try {
    await action
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === code) return false
    throw error
  }
}
