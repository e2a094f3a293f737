// What `npm start` and `npm test` need before anything else runs: dependencies and a fresh build.
// Only Node's own modules may be used here: on a fresh clone nothing else exists yet.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'

/** Runs a command in the repository; its output goes to stderr so that a machine-readable stdout stays clean. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], ...options })
  if (result.error) throw result.error
  return result.status ?? 1
}

function fail(what, status) {
  console.error(`\nconcordat: ${what} failed (exit code ${status}). The lines above say why.`)
  process.exit(status || 1)
}

export function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  console.error(`concordat: Node ${process.versions.node} is too old; install Node 20.19 or newer.`)
  process.exit(1)
}

/** Installs the locked dependencies unless this exact lock file was installed before. */
export function ensureInstalled() {
  const lock = join(root, 'package-lock.json')
  const installed = join(root, 'node_modules', '.package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return
  console.error('concordat: installing dependencies (npm ci) …')
  const status = run(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'])
  if (status !== 0) fail('npm ci', status)
}

function newest(folder) {
  let latest = 0
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    latest = Math.max(latest, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs)
  }
  return latest
}

/** Compiles `src` to `dist` unless nothing changed since the last build. */
export function ensureBuilt() {
  const stamp = join(root, 'dist', '.built')
  const sources = Math.max(newest(join(root, 'src')), statSync(join(root, 'tsconfig.build.json')).mtimeMs)
  if (existsSync(stamp) && statSync(stamp).mtimeMs > sources) return
  console.error('concordat: building (tsc) …')
  const status = run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'])
  if (status !== 0) fail('the build', status)
  writeFileSync(stamp, '')
}
