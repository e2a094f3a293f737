// The benchmarks: `npm run bench` installs and builds what is missing, then measures. See docs/performance.md.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ensureBuilt, ensureInstalled, requireNode, root } from './lib/prepare.mjs'

requireNode()
ensureInstalled()
ensureBuilt()

const bench = spawn(
  process.execPath,
  ['--import', 'ts-blank-space/register', join(root, 'bench/main.ts'), ...process.argv.slice(2)],
  {
    cwd: root,
    stdio: 'inherit',
  },
)
// Ctrl-C reaches the whole terminal group: the benchmark cleans up, and this process waits for it.
process.on('SIGINT', () => {})
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => bench.kill(signal))
bench.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
})
