import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

function sourceText(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !/\.(test|contract|support|test-support)\.ts$/.test(path))
    .map((path) => readFileSync(join(folder, path), 'utf8'))
    .join('\n')
}

/** Codes of error classes (`readonly code = 'X'`) and of refusals (`code: 'X'` and members of the RefusalCode union). */
function codesInSource(): string[] {
  const text = sourceText(join(root, 'src'))
  const declared = text.matchAll(/\bcode(?:: string)? ?[=:] ?'([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)'/g)
  const union = /export type RefusalCode =([\s\S]*?)\n\n/.exec(text)?.[1] ?? ''
  const refusals = union.matchAll(/'([A-Z][A-Z0-9_]+)'/g)
  return [...new Set([...declared, ...refusals].map((match) => match[1] ?? ''))].sort()
}

test('docs/reference/errors.md lists every error code, and no other', () => {
  const documented = readFileSync(join(root, 'docs/reference/errors.md'), 'utf8').matchAll(/^\| `([A-Z0-9_]+)` \|/gm)
  const codes = [...documented].map((match) => match[1] ?? '')
  expect([...new Set(codes)].sort()).toEqual(codesInSource())
  expect(codes.length, 'no code is listed twice').toBe(new Set(codes).size)
})
