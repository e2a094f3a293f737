// Every crash point in the simulator (docs/crash-points.md), in each of its ways. `--only TEXT` takes the points whose names
// contain it, `--rounds N` repeats them with other seeds, `--seed N`, `--json`; `--write-page` writes the page's tables instead.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ensureInstalled, requireNode, root } from './lib/prepare.mjs'

requireNode()
ensureInstalled()

const main = join(root, 'src/sim/crash-points/main.ts')
const child = spawn(process.execPath, ['--import', 'ts-blank-space/register', main, ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
})
// Ctrl-C reaches the whole terminal group.
process.on('SIGINT', () => {})
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
})
