import { expect, test } from 'vitest'
import { statementHead } from './statement-head.ts'

test('a statement is shown up to the first thing that may be a value', () => {
  expect(statementHead("update seats set taken_by = 'Ann' where id = 7")).toBe('update seats set taken_by = …')
  expect(statementHead('update t2 set n=9')).toBe('update t2 set n= …')
  expect(statementHead('select "secret"')).toBe('select …')
  expect(statementHead('select $$secret$$')).toBe('select …')
  expect(statementHead('select $tag$secret$tag$')).toBe('select …')
  expect(statementHead('select id -- secret')).toBe('select id …')
  expect(statementHead('select id /* secret */ from t')).toBe('select id …')
  expect(statementHead('select id # secret')).toBe('select id …')
  expect(statementHead('select -.5')).toBe('select -. …')
})

test('placeholders and digits in names hold no values', () => {
  expect(statementHead('update  t1\n set n = $1 where id = ?')).toBe('update t1 set n = $1 where id = ?')
})

test('what begins with a value, or is not there, is not shown', () => {
  expect(statementHead('/* secret */ select 1')).toBeUndefined()
  expect(statementHead(null)).toBeUndefined()
  expect(statementHead('')).toBeUndefined()
})

test('a long statement is cut', () => {
  expect(statementHead(`select ${'a, '.repeat(200)}`)?.length).toBeLessThan(130)
})
