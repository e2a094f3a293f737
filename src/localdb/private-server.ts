import { rmSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { LocalServerFailedError } from './errors.ts'
import type { LocalServer } from './local-server.ts'
import { freePort, type ServerCommand, ServerProcess } from './server-process.ts'
import { leaveWorkspace } from './workspace.ts'

/** What differs between the databases. */
export interface PrivateServerPlan {
  readonly kind: LocalServer['kind']
  readonly user: string
  readonly scheme: string
  readonly defaultDatabase: string
  readonly folder: string
  command(port: number): ServerCommand
}

const HOST = '127.0.0.1'
/** Somebody else may take a free port before the server does. */
const PORT_ATTEMPTS_MAX = 5
const RESTART_ATTEMPTS_MAX = 20
const RESTART_PAUSE_MS = 100

/** A server with its folder; see LocalServer. */
export class PrivateServer implements LocalServer {
  readonly host = HOST
  readonly port: number
  readonly #plan: PrivateServerPlan
  #process: ServerProcess | undefined
  #removed = false

  private constructor(plan: PrivateServerPlan, port: number, started: ServerProcess) {
    this.#plan = plan
    this.port = port
    this.#process = started
  }

  /** Starts the plan on a free port. Removes the folder when that fails. */
  static async start(plan: PrivateServerPlan): Promise<PrivateServer> {
    for (let attempt = 1; ; attempt += 1) {
      const port = await freePort()
      try {
        return new PrivateServer(plan, port, await ServerProcess.start(plan.command(port)))
      } catch (error) {
        if (attempt < PORT_ATTEMPTS_MAX && isPortTaken(error)) continue
        removeFolder(plan.folder)
        throw error
      }
    }
  }

  get kind(): LocalServer['kind'] {
    return this.#plan.kind
  }

  get user(): string {
    return this.#plan.user
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  url(database: string = this.#plan.defaultDatabase): string {
    return `${this.#plan.scheme}://${this.user}@${HOST}:${this.port}/${database}`
  }

  async stop(): Promise<void> {
    if (this.#removed) return
    this.#removed = true
    await this.#process?.stop()
    removeFolder(this.#plan.folder)
  }

  async kill(): Promise<void> {
    await this.#process?.kill()
  }

  async restart(): Promise<void> {
    if (this.#removed) throw new LocalServerFailedError('this server was stopped and its data removed; start a new one')
    await this.#process?.stop()
    this.#process = await this.#startAgain()
  }

  /** The children of a killed server hold its memory and files for a moment longer; the new one refuses to start on them. */
  async #startAgain(): Promise<ServerProcess> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await ServerProcess.start(this.#plan.command(this.port))
      } catch (error) {
        if (attempt === RESTART_ATTEMPTS_MAX) throw error
        await pause(RESTART_PAUSE_MS)
      }
    }
  }
}

function isPortTaken(error: unknown): boolean {
  return error instanceof LocalServerFailedError && /address already in use/i.test(error.message)
}

function removeFolder(folder: string): void {
  // The children of a killed server need a moment to notice, and may still write.
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
  leaveWorkspace()
}
