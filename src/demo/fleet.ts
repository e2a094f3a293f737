import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import type { WorldUrls } from './world.ts'

const PROGRAM = fileURLToPath(new URL('../cli/main.js', import.meta.url))

/** One coordinator process of the demo. */
interface Coordinator {
  readonly id: number
  readonly address: string
  readonly configFile: string
  readonly logFile: string
  child: ChildProcess | undefined
}

/** Three coordinators as an operator would run them: `concordat serve --config FILE`, each a process of its own. */
export class Fleet {
  readonly #coordinators: readonly Coordinator[]
  #stopping = false
  #unexpected: ((line: string) => void) | undefined

  private constructor(coordinators: readonly Coordinator[]) {
    this.#coordinators = coordinators
  }

  static async start(directory: string, urls: WorldUrls, onUnexpectedEnd: (line: string) => void): Promise<Fleet> {
    const ports = await freePorts(3)
    const members = ports.map((port, index) => ({ id: index + 1, address: `127.0.0.1:${port}` }))
    const coordinators = members.map(({ id, address }): Coordinator => {
      const home = join(directory, `coordinator-${id}`)
      mkdirSync(home, { recursive: true })
      const configFile = join(home, 'concordat.yaml')
      const config = {
        cluster: 'demo',
        node: id,
        data: './data',
        members,
        resources: [
          { name: 'flights', kind: 'postgres', url: urls.flights },
          {
            name: 'hotels',
            kind: urls.hotels.kind,
            url: urls.hotels.url,
            ...(urls.hotels.kind === 'mysql' ? { witness: true } : {}),
          },
          { name: 'payments', kind: 'postgres', url: urls.payments },
        ],
        resolver: { scanMs: 2_000, graceMs: 1_000 },
      }
      writeFileSync(configFile, stringify(config))
      return { id, address, configFile, logFile: join(home, 'log'), child: undefined }
    })
    const fleet = new Fleet(coordinators)
    fleet.#unexpected = onUnexpectedEnd
    for (const coordinator of coordinators) fleet.#spawn(coordinator)
    return fleet
  }

  get addresses(): readonly string[] {
    return this.#coordinators.map(({ address }) => address)
  }

  isRunning(id: number): boolean {
    return this.#find(id).child !== undefined
  }

  /** SIGKILL: no handler runs, nothing is flushed. Resolves when the process is gone. */
  async kill(id: number): Promise<void> {
    const { child } = this.#find(id)
    if (child === undefined) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  restart(id: number): void {
    const coordinator = this.#find(id)
    if (coordinator.child === undefined && !this.#stopping) this.#spawn(coordinator)
  }

  restartAll(): void {
    for (const { id } of this.#coordinators) this.restart(id)
  }

  /** Ends all of them as an operator would, then harder. */
  async stop(): Promise<void> {
    this.#stopping = true
    const children = this.#coordinators.flatMap(({ child }) => (child === undefined ? [] : [child]))
    const gone = children.map((child) => once(child, 'exit'))
    for (const child of children) child.kill('SIGTERM')
    const timer = setTimeout(() => children.map((child) => child.kill('SIGKILL')), 3_000)
    await Promise.all(gone)
    clearTimeout(timer)
  }

  #find(id: number): Coordinator {
    return this.#coordinators.find((each) => each.id === id)!
  }

  #spawn(coordinator: Coordinator): void {
    const log = openSync(coordinator.logFile, 'a')
    // The channel ends the coordinator when this process is gone, even by SIGKILL.
    const child = spawn(process.execPath, [PROGRAM, 'serve', '--config', coordinator.configFile], {
      stdio: ['ignore', log, log, 'ipc'],
      // Ctrl-C must reach the stage only: it ends the fleet in order.
      detached: true,
    })
    closeSync(log)
    coordinator.child = child
    child.on('error', () => {})
    child.on('exit', (code, signal) => {
      coordinator.child = undefined
      if (signal === 'SIGKILL' || this.#stopping) return
      const lines = readFileSync(coordinator.logFile, 'utf8').trimEnd().split('\n').slice(-3).join('\n')
      this.#unexpected?.(`coordinator ${coordinator.id} ended by itself (${signal ?? `exit code ${code}`}):\n${lines}`)
    })
  }
}

/** Ports that are free now. Held open together so that no two are the same. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
