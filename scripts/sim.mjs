// The simulator: `npm run sim -- --seed 7` replays one run, `-- --seeds 1000` and `-- --minutes 10` run many.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ensureInstalled, requireNode, root } from './lib/prepare.mjs'

requireNode()
ensureInstalled()

// This loader only blanks the types out. One that keeps functions' names (tsx) sets a name each time that a closure is
// made, which costs a sixth of the speed.
const sim = spawn(
  process.execPath,
  ['--import', 'ts-blank-space/register', join(root, 'src/sim/cli/main.ts'), ...process.argv.slice(2)],
  {
    cwd: root,
    stdio: 'inherit',
  },
)
// Ctrl-C reaches the whole terminal group: the simulator says what was done, and this process waits for it.
process.on('SIGINT', () => {})
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => sim.kill(signal))
sim.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
})
