import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { FAILPOINT_NAMES } from '../../base/index.ts'
import { crashPointTables, PAGE_MARK } from './page.ts'

const PAGE = fileURLToPath(new URL('../../../docs/crash-points.md', import.meta.url))

test('docs/crash-points.md shows the table as the code has it; `npm run crash-points -- --write-page` writes it', () => {
  const [, generated] = readFileSync(PAGE, 'utf8').split(PAGE_MARK)
  expect(generated?.trim()).toBe(crashPointTables().trim())
})

test('names tell component, step and moment, and nothing of a table cell breaks it', () => {
  for (const name of FAILPOINT_NAMES) expect(name).toMatch(/^[a-z]+(\.[a-z-]+){2,3}$/)
  const rows = crashPointTables()
    .split('\n')
    .filter((line) => line.startsWith('| `'))
  expect(rows).toHaveLength(FAILPOINT_NAMES.length)
})
