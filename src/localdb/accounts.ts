import { execFileSync } from 'node:child_process'
import { chownSync, lstatSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The user under whom servers run, in the form `spawn` takes. Empty: the user of this process. */
export interface Account {
  readonly uid?: number
  readonly gid?: number
}

let account: Account | undefined

/** `nobody` when this process is root, because PostgreSQL and MariaDB refuse to run as root. */
export function serverAccount(): Account {
  account ??= process.getuid?.() === 0 ? nobody() : {}
  return account
}

function nobody(): Account {
  // Its numbers differ between systems (65534 on Debian, -2 on macOS), so ask.
  const number = (flag: string): number => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }).trim())
  return { uid: number('-u'), gid: number('-g') }
}

/** Gives `path` and all below it to `owner`. Does nothing for an ordinary user. */
export function giveTo(owner: Account, path: string): void {
  if (owner.uid === undefined || owner.gid === undefined) return
  chownSync(path, owner.uid, owner.gid)
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = join(path, entry.name)
    if (entry.isDirectory()) giveTo(owner, child)
    else if (!lstatSync(child).isSymbolicLink()) chownSync(child, owner.uid, owner.gid)
  }
}

/** Whether everybody may enter `path` and each folder above it: `nobody` can't load libraries below a home of mode 700. */
export function isOpenToAll(path: string): boolean {
  for (let folder = path; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false
    if (folder === dirname(folder)) return true
  }
}
