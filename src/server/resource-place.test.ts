import { expect, test } from 'vitest'
import { placeOf } from './resource-place.ts'

test('a place has neither user nor password nor options, and its port is always named', () => {
  expect(placeOf('postgres://me:hush@db.internal/trips?sslmode=require')).toBe('db.internal:5432/trips')
  expect(placeOf('postgresql://db:6000/trips')).toBe('db:6000/trips')
  expect(placeOf('mysql://me:hush@db/app')).toBe('db:3306/app')
  expect(placeOf('mariadb://[::1]:3307/app')).toBe('[::1]:3307/app')
})
