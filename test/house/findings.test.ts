import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

const SOURCES = [
  'src/resources/access.ts',
  'src/resources/observations.ts',
  'src/resources/postgres/examine.ts',
  'src/resources/mysql/examine.ts',
  ...readdirSync(join(root, 'src/doctor'))
    .filter((name) => name.endsWith('-checks.ts'))
    .map((name) => `src/doctor/${name}`),
]

/** The words of warnings and errors: `error('fsyncOff', …)`, `findings.warning('clock', …)`, `what: 'noAnswer'`, `? 'refused' : 'unreachable'`. */
function wordsInSource(): readonly string[] {
  const text = SOURCES.map((path) => readFileSync(join(root, path), 'utf8')).join('\n')
  const called = text.matchAll(/\b(?:warning|error)\(\s*'(\w+)'/g)
  const given = text.matchAll(/\bwhat: '(\w+)'/g)
  const chosen = [...text.matchAll(/\bwhat: isRefused \? '(\w+)' : '(\w+)'/g)].flatMap(([, one, other]) => [one, other])
  const words = [...called, ...given].map(([, word]) => word)
  expect(words.length).toBeGreaterThan(30)
  return [...new Set([...words, ...chosen].map(String))].sort()
}

test('docs/operating/doctor.md lists every warning and error that the doctor can find, and no other', () => {
  const page = readFileSync(join(root, 'docs/operating/doctor.md'), 'utf8')
  const listed = [...page.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, word]) => String(word)),
  )
  expect([...new Set(listed)].sort()).toEqual(wordsInSource())
})
