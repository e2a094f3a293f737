import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { Scenario } from './testing/scenario.ts'

// Stories of the protocol whose traces are reviewed as text (etcd-io/raft: testdata/). The language is in
// testdata/README.md. After a change that is meant, write the traces anew and read the diff:
//
//   UPDATE_TRACES=1 npx vitest run src/raft/scenarios.test.ts

const folder = join(dirname(fileURLToPath(import.meta.url)), 'testdata')
const files = readdirSync(folder).filter((name) => name.endsWith('.txt'))

/** The same script, with the traces that it has now. */
function replay(script: string): string {
  const scenario = new Scenario()
  return script
    .trimEnd()
    .split(/\n\n+/)
    .map((block) => {
      const [commands = ''] = block.split('\n----')
      const lines = commands.split('\n').filter((line) => !line.startsWith('#'))
      if (lines.length === 0) return commands
      return [commands, '----', ...lines.flatMap((line) => scenario.run(line))].join('\n')
    })
    .join('\n\n')
    .concat('\n')
}

test.each(files)('the story in %s happens as it is written', (name) => {
  const path = join(folder, name)
  const script = readFileSync(path, 'utf8')
  const trace = replay(script)
  if (process.env.UPDATE_TRACES === '1') writeFileSync(path, trace)
  else expect(trace).toBe(script)
})

test('there are stories of everything that the core does', () => {
  expect(files.length).toBeGreaterThanOrEqual(12)
})
