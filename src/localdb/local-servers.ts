import type { LocalServer, LocalServerOptions } from './local-server.ts'
import { startMariadb } from './mariadb.ts'
import { startPostgres } from './postgres.ts'
import { removeIdleWorkspace } from './workspace.ts'

/**
 * A group of private servers that ends as one. `close` ends all of them, also those that are still starting, and
 * removes every temporary folder once no server of this process is left.
 *
 * @example
 * await using servers = new LocalServers()
 * const [flights, payments] = await Promise.all([servers.startPostgres(), servers.startPostgres()])
 */
export class LocalServers {
  readonly #starting = new Set<Promise<LocalServer>>()
  #closing: Promise<void> | undefined

  /** @throws LocalServerMissingError, LocalServerFailedError as `startPostgres` does */
  startPostgres(options?: LocalServerOptions): Promise<LocalServer> {
    return this.#keep(startPostgres(options))
  }

  /** @throws LocalServerMissingError, LocalServerFailedError as `startMariadb` does */
  startMariadb(options?: LocalServerOptions): Promise<LocalServer> {
    return this.#keep(startMariadb(options))
  }

  /** Ends every server. Repeats are harmless. */
  close(): Promise<void> {
    this.#closing ??= this.#stopAll()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #keep(starting: Promise<LocalServer>): Promise<LocalServer> {
    this.#starting.add(starting)
    // A failed start has removed its own folder.
    starting.catch(() => this.#starting.delete(starting))
    return starting
  }

  async #stopAll(): Promise<void> {
    // One start may follow another's failure while we wait, so look until none is left.
    for (const starting of this.#starting) {
      const server = await starting.catch(() => undefined)
      await server?.stop()
    }
    removeIdleWorkspace()
  }
}
