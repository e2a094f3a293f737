import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { applyEdit, MUTANTS } from './index.ts'

const root = new URL('../../../', import.meta.url)

test('there are at least twenty-five mutants, each with a name of its own', () => {
  expect(MUTANTS.length).toBeGreaterThanOrEqual(25)
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length)
})

test.each(MUTANTS)('the mutant $name changes a place that is there exactly once', ({ edits }) => {
  const sources = new Map<string, string>()
  for (const edit of edits) {
    const source = sources.get(edit.file) ?? readFileSync(fileURLToPath(new URL(edit.file, root)), 'utf8')
    const changed = applyEdit(source, edit)
    expect(changed).not.toBe(source)
    sources.set(edit.file, changed)
  }
})
