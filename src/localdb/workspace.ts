import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isOpenToAll, serverAccount } from './accounts.ts'

/**
 * The watchdog: a shell that outlives this process, however that ends. Its stdin is a pipe that only we hold, so the
 * end of input means that we are gone, even by SIGKILL; then it ends the servers we told it of and removes the folder.
 */
const WATCHDOG = `
servers=
while read -r word signal pid; do
  if [ "$word" = add ]; then servers="$servers $signal:$pid"
  else servers=$(for s in $servers; do [ "\${s#*:}" = "$pid" ] || printf ' %s' "$s"; done); fi
done
for s in $servers; do kill -s "\${s%%:*}" "\${s#*:}" 2>/dev/null; done
n=0
while [ $n -lt 30 ]; do
  alive=
  for s in $servers; do kill -0 "\${s#*:}" 2>/dev/null && alive=1; done
  [ -z "$alive" ] && break
  n=$((n + 1)); sleep 0.1
done
for s in $servers; do kill -s KILL "\${s#*:}" 2>/dev/null; done
n=0
while ! rm -rf "$1" 2>/dev/null && [ $n -lt 30 ]; do n=$((n + 1)); sleep 0.1; done
`

/** The folder of all servers of this process, and its watchdog. Made by the first server. */
class Workspace {
  readonly path: string
  readonly #watchdog: ChildProcess
  #count = 0

  constructor() {
    this.path = mkdtempSync(join(temporaryFolder(), 'cdt-'))
    chmodSync(this.path, 0o755)
    // Detached: Ctrl-C reaches the whole process group, and the watchdog must survive it.
    this.#watchdog = spawn('/bin/sh', ['-c', WATCHDOG, 'concordat-watchdog', this.path], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    this.#watchdog.stdin?.on('error', () => {})
    this.#watchdog.on('error', () => {})
    this.#watchdog.unref()
  }

  /** A new folder with a short name: a socket's path may have 107 characters at most. */
  folder(): string {
    this.#count += 1
    const path = join(this.path, String(this.#count))
    mkdirSync(path, { mode: 0o755 })
    return path
  }

  /** From now on the watchdog ends process `pid` with `signal` when this process is gone. */
  guard(pid: number, signal: 'QUIT' | 'KILL'): void {
    this.#watchdog.stdin?.write(`add ${signal} ${pid}\n`)
  }

  /** The process has ended: its number may soon be somebody else's. */
  unguard(pid: number): void {
    this.#watchdog.stdin?.write(`del - ${pid}\n`)
  }

  /** Removes the folder and ends the watchdog. */
  remove(): void {
    rmSync(this.path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
    this.#watchdog.stdin?.end()
  }
}

let current: Workspace | undefined
let users = 0

/** The workspace of this process. */
export function workspace(): Workspace {
  current ??= new Workspace()
  return current
}

/** Counts a server in; call `leaveWorkspace` when its folder is gone. */
export function enterWorkspace(): Workspace {
  users += 1
  return workspace()
}

export function leaveWorkspace(): void {
  users -= 1
}

/** Removes the workspace, templates included, unless a server still uses it. The next server begins a new one. */
export function removeIdleWorkspace(): boolean {
  if (users > 0 || current === undefined) return false
  current.remove()
  current = undefined
  return true
}

function temporaryFolder(): string {
  const usual = realpathSync(tmpdir())
  // Some set TMPDIR to a folder of their own with mode 700, which `nobody` can't enter.
  return serverAccount().uid === undefined || isOpenToAll(usual) ? usual : realpathSync('/tmp')
}
