// Histories of the key-value participant under kills, checked: `npm run histories -- --seconds 60`. See docs/histories.md.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ensureBuilt, ensureInstalled, requireNode, root } from './lib/prepare.mjs'

requireNode()
ensureInstalled()
ensureBuilt()

const args = ['--import', 'ts-blank-space/register', join(root, 'test/histories/main.ts'), ...process.argv.slice(2)]
const histories = spawn(process.execPath, args, { stdio: 'inherit' })
// Ctrl-C reaches the whole terminal group: the run ends early, with a verdict, and this process waits for it.
process.on('SIGINT', () => {})
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => histories.kill(signal))
histories.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
})
