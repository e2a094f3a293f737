import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import { type Account, serverAccount } from './accounts.ts'
import { LocalServerFailedError } from './errors.ts'
import { workspace } from './workspace.ts'

/** How long a server may take until it is ready; crash recovery of a small data directory takes well under a second. */
const READY_MS_MAX = 60_000
/** How long a clean stop may take before SIGKILL. */
const STOP_MS_MAX = 15_000
/** How much of what a server prints is kept for error messages. */
const OUTPUT_CHARS_MAX = 4_000

/** What to run, and how to know that it is ready. */
export interface ServerCommand {
  readonly program: string
  readonly args: readonly string[]
  readonly folder: string
  /** The text on stderr that says "ready". */
  readonly readyText: string
  readonly stopSignal: 'SIGINT' | 'SIGTERM'
  /** What the watchdog sends when this process is gone. */
  readonly orphanSignal: 'QUIT' | 'KILL'
}

/** One running server process. */
export class ServerProcess {
  readonly #child: ChildProcess
  readonly #command: ServerCommand
  readonly #ended: Promise<void>
  #output = ''

  private constructor(command: ServerCommand, child: ChildProcess) {
    this.#command = command
    this.#child = child
    const space = workspace()
    this.#ended = new Promise((resolve) => {
      child.once('error', () => resolve())
      child.once('exit', () => {
        if (child.pid !== undefined) space.unguard(child.pid)
        resolve()
      })
    })
    if (child.pid !== undefined) space.guard(child.pid, command.orphanSignal)
  }

  /** Starts the server and waits until it is ready. @throws LocalServerFailedError when it ends or stays silent */
  static async start(command: ServerCommand): Promise<ServerProcess> {
    const child = spawn(command.program, command.args, {
      ...serverAccount(),
      cwd: command.folder,
      env: serverEnvironment(),
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const server = new ServerProcess(command, child)
    await server.#ready()
    return server
  }

  /** The process id while it runs. */
  get pid(): number | undefined {
    return this.#child.exitCode === null && this.#child.signalCode === null ? this.#child.pid : undefined
  }

  async stop(): Promise<void> {
    if (this.pid === undefined) return
    this.#hold()
    this.#child.kill(this.#command.stopSignal)
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS_MAX)
    await this.#ended
    clearTimeout(timer)
  }

  async kill(): Promise<void> {
    if (this.pid === undefined) return
    this.#hold()
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  async #ready(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const outcome = await Promise.race([
      this.#said(this.#command.readyText).then(() => 'ready' as const),
      this.#ended.then(() => 'ended' as const),
      new Promise<'silent'>((resolve) => {
        timer = setTimeout(() => resolve('silent'), READY_MS_MAX)
      }),
    ])
    clearTimeout(timer)
    if (outcome === 'ready') return this.#letGo()
    await this.kill()
    throw new LocalServerFailedError(
      `${this.#command.program} ${outcome === 'ended' ? 'ended' : `said nothing for ${READY_MS_MAX} ms`} before it was ready. Its last words:\n${this.#output}`,
    )
  }

  #said(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#child.stderr?.setEncoding('utf8')
      // The listener stays for good: a server whose stderr nobody reads would block when the pipe is full.
      this.#child.stderr?.on('data', (chunk: string) => {
        this.#output = (this.#output + chunk).slice(-OUTPUT_CHARS_MAX)
        if (this.#output.includes(text)) resolve()
      })
    })
  }

  /** A server alone does not keep this process alive: the watchdog ends it afterwards. */
  #letGo(): void {
    this.#child.unref()
    ;(this.#child.stderr as { unref?: () => void } | null)?.unref?.()
  }

  #hold(): void {
    this.#child.ref()
  }
}

/** Runs a set-up program as the servers' user. @throws LocalServerFailedError with its output when it fails */
export async function runOnce(program: string, args: readonly string[], cwd: string, account: Account): Promise<void> {
  try {
    await promisify(execFile)(program, args, { ...account, cwd, env: serverEnvironment() })
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    const words = `${stdout}\n${stderr}`.slice(-OUTPUT_CHARS_MAX)
    throw new LocalServerFailedError(`${program} failed. Its last words:\n${words}`, { cause: error })
  }
}

/** A TCP port on 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const probe = createServer()
  probe.listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  return (address as { port: number }).port
}

/** Nothing of our own environment may steer a server (PGPORT, MYSQL_HOME, LD_PRELOAD …). */
function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }
}
