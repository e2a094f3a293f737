import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

test('every promise names tests, and each of them exists', () => {
  const page = readFileSync(join(root, 'docs/promises.md'), 'utf8')
  const rows = [...page.matchAll(/^\| (P\d) [^|]*\| `([^`]+)` \| (.+) \|$/gm)]
  const missing = rows.filter(([, , file = '', name = '']) => !readFileSync(join(root, file), 'utf8').includes(name))
  expect(missing.map(([row]) => row)).toEqual([])
  expect(new Set(rows.map(([, promise]) => promise))).toEqual(new Set(['P1', 'P2', 'P3', 'P4', 'P5', 'P6', 'P7', 'P8']))
})
