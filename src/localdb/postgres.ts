import { join } from 'node:path'
import { serverAccount } from './accounts.ts'
import type { LocalServer, LocalServerOptions } from './local-server.ts'
import { findPostgres, type PostgresPrograms } from './postgres-programs.ts'
import { PrivateServer } from './private-server.ts'
import { runOnce, type ServerCommand } from './server-process.ts'
import { folderFromTemplate } from './templates.ts'

const SUPERUSER = 'postgres'

/** fsync and synchronous_commit stay on: a promise that is not on disk is none. */
const DEFAULTS: Readonly<Record<string, string>> = {
  max_prepared_transactions: '64',
  max_connections: '100',
  shared_buffers: '32MB',
  // Its default leaves files in /dev/shm behind when the server is killed.
  dynamic_shared_memory_type: 'mmap',
}

/**
 * Starts a private PostgreSQL on a free port of 127.0.0.1, for root and for ordinary users.
 *
 * @example
 * const server = await startPostgres({ settings: { max_prepared_transactions: '0' } })
 * try { console.log(server.url()) } finally { await server.stop() }
 * @throws LocalServerMissingError when the PostgreSQL package is not installed
 * @throws LocalServerFailedError when the server does not come up
 */
export async function startPostgres(options: LocalServerOptions = {}): Promise<LocalServer> {
  const programs = await findPostgres()
  const folder = await folderFromTemplate('postgres', (around, data) => initialise(programs, around, data))
  const settings = { ...DEFAULTS, ...options.settings }
  return PrivateServer.start({
    kind: 'postgres',
    user: SUPERUSER,
    scheme: 'postgres',
    defaultDatabase: 'postgres',
    folder,
    command: (port) => serverCommand(programs, folder, port, settings),
  })
}

function initialise(programs: PostgresPrograms, folder: string, data: string): Promise<void> {
  const args = [
    '-D',
    data,
    '-U',
    SUPERUSER,
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--locale=C',
    '--no-sync',
    '--no-instructions',
  ]
  return runOnce(programs.initdb, args, folder, serverAccount())
}

function serverCommand(
  { postgres }: PostgresPrograms,
  folder: string,
  port: number,
  settings: Readonly<Record<string, string>>,
): ServerCommand {
  const assignments = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  return {
    program: postgres,
    // `-k ''`: no Unix socket, so nothing outside the folder is touched.
    args: ['-D', join(folder, 'data'), '-k', '', '-h', '127.0.0.1', '-p', String(port), ...assignments],
    folder,
    readyText: 'ready to accept connections',
    // SIGINT is the "fast" shutdown: SIGTERM would wait for clients.
    stopSignal: 'SIGINT',
    orphanSignal: 'QUIT',
  }
}
