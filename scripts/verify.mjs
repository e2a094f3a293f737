// `npm run verify` reads and never writes: format and lint, types, dead code, and the house rules
// (layers, error codes, docs) that live as tests in test/house.
import { join } from 'node:path'
import { ensureInstalled, root, run } from './lib/prepare.mjs'

ensureInstalled()
const bin = (path) => join(root, 'node_modules', path)
const steps = [
  ['format and lint', [bin('@biomejs/biome/bin/biome'), 'check', '--error-on-warnings', '.']],
  ['types', [bin('typescript/bin/tsc'), '-p', 'tsconfig.json']],
  ['dead code', [bin('knip/bin/knip.js')]],
  ['house rules', [bin('vitest/vitest.mjs'), 'run', 'test/house', '--reporter=dot']],
]

const failed = []
for (const [name, args] of steps) {
  console.error(`\nverify: ${name}`)
  if (run(process.execPath, args, { stdio: 'inherit' }) !== 0) failed.push(name)
}
if (failed.length > 0) {
  console.error(`\nverify: failed: ${failed.join(', ')}. \`npm run fix\` mends format and simple lint.`)
  process.exit(1)
}
console.error('\nverify: all is well')
