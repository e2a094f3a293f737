import { existsSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { serverAccount } from './accounts.ts'
import { LocalServerMissingError } from './errors.ts'
import type { LocalServer, LocalServerOptions } from './local-server.ts'
import { PrivateServer } from './private-server.ts'
import { runOnce, type ServerCommand } from './server-process.ts'
import { folderFromTemplate } from './templates.ts'

/** Where MariaDB's programs are. */
export interface MariadbPrograms {
  readonly mariadbd: string
  readonly installDb: string
}

/** How to get MariaDB's programs on Debian and Ubuntu: 8 MB, no service is set up. */
export const MARIADB_INSTALL_HINT = 'apt-get install mariadb-server-core mariadb-client-core'

/** Places that an ordinary user's PATH lacks on Debian, or that Homebrew uses. */
const FURTHER_FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']
const DATABASE = 'app'
/** The redo log's size must be the same when a data directory is made and when it is used. */
const LOG_SIZE = '--innodb-log-file-size=8M'

/** MariaDB's programs on this machine, or undefined when they are not installed. */
export function findMariadb(): MariadbPrograms | undefined {
  const mariadbd = findProgram('mariadbd')
  const installDb = findProgram('mariadb-install-db')
  return mariadbd === undefined || installDb === undefined ? undefined : { mariadbd, installDb }
}

/**
 * Starts a private MariaDB on a free port of 127.0.0.1, with an empty database `app` and a user `root` without password.
 *
 * @throws LocalServerMissingError when MariaDB is not installed
 * @throws LocalServerFailedError when the server does not come up
 */
export async function startMariadb(options: LocalServerOptions = {}): Promise<LocalServer> {
  const programs = findMariadb()
  if (programs === undefined) {
    throw new LocalServerMissingError(`mariadbd is not on this machine. On Debian run "${MARIADB_INSTALL_HINT}".`)
  }
  const folder = await folderFromTemplate('mariadb', (around, data) => initialise(programs, around, data))
  writeFileSync(join(folder, 'init.sql'), `CREATE DATABASE IF NOT EXISTS ${DATABASE};\n`, { mode: 0o644 })
  return PrivateServer.start({
    kind: 'mariadb',
    user: 'root',
    scheme: 'mysql',
    defaultDatabase: DATABASE,
    folder,
    command: (port) => serverCommand(programs, folder, port, options.settings ?? {}),
  })
}

function initialise({ installDb, mariadbd }: MariadbPrograms, folder: string, data: string): Promise<void> {
  const args = ['--no-defaults', `--datadir=${data}`, `--basedir=${baseFolder(mariadbd)}`, LOG_SIZE]
  // Two that are being made at once would use the same names in the machine's own.
  args.push(`--tmpdir=${folder}`)
  args.push('--auth-root-authentication-method=normal', '--skip-test-db', '--skip-name-resolve')
  return runOnce(installDb, args, folder, serverAccount())
}

function serverCommand(
  { mariadbd }: MariadbPrograms,
  folder: string,
  port: number,
  settings: Readonly<Record<string, string>>,
): ServerCommand {
  const args = ['--no-defaults', `--datadir=${join(folder, 'data')}`, `--basedir=${baseFolder(mariadbd)}`, LOG_SIZE]
  args.push(`--port=${port}`, '--bind-address=127.0.0.1', '--skip-name-resolve')
  args.push(`--socket=${join(folder, 's.sock')}`, `--pid-file=${join(folder, 'pid')}`)
  args.push(`--init-file=${join(folder, 'init.sql')}`, `--tmpdir=${folder}`)
  for (const [name, value] of Object.entries(settings)) args.push(`--${name.replaceAll('_', '-')}=${value}`)
  return {
    program: mariadbd,
    args,
    folder,
    readyText: 'ready for connections',
    stopSignal: 'SIGTERM',
    orphanSignal: 'KILL',
  }
}

function baseFolder(mariadbd: string): string {
  return dirname(dirname(mariadbd))
}

function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...FURTHER_FOLDERS]
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(existsSync)
}
