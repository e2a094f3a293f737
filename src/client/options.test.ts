import { expect, test } from 'vitest'
import { Concordat, type ConcordatOptions, InvalidOptionsError } from './index.ts'
import { parseAddress } from './options.ts'

test.each([
  [{ coordinators: [] }, 'coordinators', 'one or more addresses'],
  [{ coordinators: 'localhost' }, 'coordinators[0]', '"host:port"'],
  [{ coordinators: ['a:1', 'b:99999'] }, 'coordinators[1]', '"b:99999"'],
  [{ coordinators: ['a:1'], timeoutMs: 0 }, 'timeoutMs', 'from 1 to 86400000'],
  [{ coordinators: ['a:1'], decisionTimeoutMs: 1.5 }, 'decisionTimeoutMs', '1.5'],
  [{ coordinators: ['a:1'], clusterId: 'under_score' }, 'clusterId', 'letters, digits or hyphens'],
  [{ coordinators: ['a:1'], name: '' }, 'name', '1 to 100 characters'],
  [{ coordinators: ['a:1'], tls: true }, 'tls', 'an object'],
  [{ coordinators: ['a:1'], logger: { info() {} } }, 'logger', 'debug, info, warn and error'],
  [{ coordinators: ['a:1'], timeout: 5 }, 'timeout', 'it is unknown'],
])('%j is refused with the key and what was expected', (options, key, words) => {
  let error: unknown
  try {
    new Concordat(options as unknown as ConcordatOptions)
  } catch (thrown) {
    error = thrown
  }
  expect(error).toBeInstanceOf(InvalidOptionsError)
  expect(error).toMatchObject({ code: 'INVALID_OPTIONS', key })
  expect((error as Error).message).toContain(words)
})

test.each([{ timeoutMs: -1 }, { timeoutMs: Number.NaN }, { signal: {} }, { retries: 3 }])(
  'a transaction refuses %j before it begins',
  async (options) => {
    await using concordat = new Concordat({ coordinators: '127.0.0.1:1' })
    let isRun = false
    const work = concordat.transaction(options as never, () => {
      isRun = true
    })
    await expect(work).rejects.toBeInstanceOf(InvalidOptionsError)
    expect(isRun).toBe(false)
  },
)

test('addresses may be names, IPv4 and IPv6 in brackets', () => {
  expect(parseAddress('db-1.internal:7400')).toEqual({ host: 'db-1.internal', port: 7400 })
  expect(parseAddress('10.0.0.1:1')).toEqual({ host: '10.0.0.1', port: 1 })
  expect(parseAddress('[::1]:7400')).toEqual({ host: '::1', port: 7400 })
  for (const wrong of ['::1:7400', 'a b:1', 'a:0', 'a:', ':1', 'http://a:1'])
    expect(parseAddress(wrong)).toBeUndefined()
})
