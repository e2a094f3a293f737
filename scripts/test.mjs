// The tests: `npm test` installs and builds what is missing, then runs verify and every suite.
// Arguments go to vitest: `npm test -- src/raft` runs one folder (without verify).
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ensureBuilt, ensureInstalled, requireNode, root, run } from './lib/prepare.mjs'

requireNode()
ensureInstalled()
ensureBuilt()
ensureMariadb()

const filters = process.argv.slice(2)
if (filters.length === 0) {
  const status = run(process.execPath, [join(root, 'scripts/verify.mjs')], { stdio: 'inherit' })
  if (status !== 0) process.exit(status)
}
process.exit(
  run(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...filters], { stdio: 'inherit' }),
)

/** MariaDB's server is a Debian package: root may install it; everybody else is told how, and its suites are skipped. */
function ensureMariadb() {
  const places = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']
  if (places.some((place) => existsSync(join(place, 'mariadbd')))) return
  const packages = ['mariadb-server-core', 'mariadb-client-core']
  const command = `apt-get install -y --no-install-recommends ${packages.join(' ')}`
  const canInstall = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')
  if (!canInstall) {
    console.error(
      `concordat: mariadbd is not on this machine, so the MariaDB suites are skipped. To run them: sudo ${command}`,
    )
    return
  }
  console.error(`concordat: installing MariaDB's server for its suites (${command}) …`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const quiet = { stdio: ['ignore', 'ignore', 2], env }
  // An old package list names versions that are gone: refresh it only when the first try fails.
  const install = () => spawnSync('apt-get', ['install', '-y', '--no-install-recommends', ...packages], quiet).status
  if (install() === 0) return
  spawnSync('apt-get', ['update'], quiet)
  if (install() !== 0) console.error(`concordat: that failed; the MariaDB suites are skipped. By hand: ${command}`)
}
