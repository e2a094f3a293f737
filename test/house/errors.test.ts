import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

function sourceText(folder: string): string {
  return (
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      // The simulated databases answer with their models' codes, not with ours.
      .filter(
        (path) =>
          path.endsWith('.ts') &&
          !path.startsWith('sim/') &&
          !/(\.(test|contract|support|test-support)\.ts|\/testing\/.*)$/.test(path),
      )
      .map((path) => readFileSync(join(folder, path), 'utf8'))
      .join('\n')
  )
}

const CODE = /'([A-Z][A-Z0-9_]+)'/g

/** Codes of error classes (`code = 'X'`), of literal answers (`code: 'X'`, `refused('X', …)`, `problem(503, 'X', …)`), and of the two lists of codes. */
function codesInSource(): string[] {
  const text = sourceText(join(root, 'src'))
  const literal = text.matchAll(
    /(?:\bcode(?:: string)? ?[=:] ?|\brefused\(\s*|(?:\bproblem|#refuse)\(\s*\d{3},\s*)'([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)'/g,
  )
  const refusals = /export type RefusalCode =([\s\S]*?)\n\n/.exec(text)?.[1] ?? ''
  const rejections = /export const RejectionCode = \{([\s\S]*?)\n\}/.exec(text)?.[1] ?? ''
  const listed = [...refusals.matchAll(CODE), ...rejections.matchAll(CODE)]
  expect(listed.length, 'both lists of codes were found').toBeGreaterThan(10)
  return [...new Set([...literal, ...listed].map((match) => match[1] ?? ''))].sort()
}

test('docs/reference/errors.md lists every error code, and no other', () => {
  const documented = readFileSync(join(root, 'docs/reference/errors.md'), 'utf8').matchAll(/^\| `([A-Z0-9_]+)` \|/gm)
  const codes = [...documented].map((match) => match[1] ?? '')
  expect([...codes].sort()).toEqual(codesInSource())
})
