// Every crash point (docs/crash-points.md). `npm run crash-points` kills real processes; `-- --simulated` runs the rows in
// the simulator; `--only TEXT` takes the points whose names contain it, `--rounds N` repeats, `--seed N`, `--json`.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ensureInstalled, requireNode, root } from './lib/prepare.mjs'

requireNode()
ensureInstalled()

const { values } = parseArgs({
  options: {
    simulated: { type: 'boolean', default: false },
    'write-page': { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    rounds: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})

function run(command, args, env = {}) {
  const child = spawn(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  return new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)))
}

if (values.simulated || values['write-page']) {
  const args = process.argv.slice(2).filter((arg) => arg !== '--simulated')
  const main = join(root, 'src/sim/crash-points/main.ts')
  process.exitCode = await run(process.execPath, ['--import', 'ts-blank-space/register', main, ...args])
} else {
  const built = await run('npm', ['run', '--silent', 'build'])
  const reporter = values.json ? ['--reporter=json'] : ['--reporter=verbose']
  const env = {
    CONCORDAT_CRASH_POINTS: 'all',
    CONCORDAT_CRASH_POINTS_ONLY: values.only,
    CONCORDAT_CRASH_POINTS_ROUNDS: values.rounds,
  }
  process.exitCode = built || (await run('npx', ['vitest', 'run', 'test/crash-points', ...reporter], env))
}
