import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ConfigError, loadConfigAs } from '../../server/index.ts'
import { kvConfigSchema, optionsOf } from './config.ts'
import { checkKeyValueOptions, type KeyValueParticipantOptions } from './options.ts'

const directory = mkdtempSync(join(tmpdir(), 'cdt-kv-config-'))
afterAll(() => rmSync(directory, { recursive: true }))

function load(text: string): ReturnType<typeof kvConfigSchema.parse> {
  const path = join(directory, 'participant.yaml')
  writeFileSync(path, text)
  return loadConfigAs(kvConfigSchema, path, [], {})
}

function mistakeIn(text: string): string {
  try {
    load(text)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  throw new Error('the configuration was accepted')
}

const good = `cluster: trips
name: accounts
data: ./data
listen: 127.0.0.1:7500
coordinators: [127.0.0.1:7400]
`

test('a short configuration is filled with the defaults, and its options are accepted', () => {
  const config = load(good)
  expect(config).toMatchObject({ name: 'accounts', data: join(directory, 'data'), rules: [], keepMs: 3_600_000 })
  const options = optionsOf(config)
  expect(options).toMatchObject({ clusterId: 'trips', listen: '127.0.0.1:7500', limits: { lockTimeoutMs: 10_000 } })
  expect(() => checkKeyValueOptions(options)).not.toThrow()
})

test('every mistake is named with file, line and key', () => {
  expect(mistakeIn(`${good}limit:\n  lockTimeoutMs: 5\n`)).toContain('participant.yaml:6:1: limit: is not a key')
  expect(mistakeIn(good.replace('accounts', 'a b'))).toMatch(/:2:1: name: expected 1 to 64 characters/)
  expect(mistakeIn(good.replace('127.0.0.1:7400', 'nowhere'))).toMatch(/:5:\d+: coordinators\[0\]: expected host:port/)
  expect(mistakeIn(`${good}rules:\n  - { kind: odd, prefix: a }\n`)).toMatch(/:7:\d+: rules\[0\]\.kind/)
  const several = mistakeIn('cluster: "no cluster"\n')
  for (const key of ['cluster', 'name', 'data', 'listen', 'coordinators'])
    expect(several).toMatch(new RegExp(` ${key}: `))
})

test('without TLS it listens on loopback only', () => {
  expect(mistakeIn(good.replace('127.0.0.1:7500', '10.0.0.5:7500'))).toMatch(
    /:4:1: listen: without TLS .*loopback only/,
  )
})

test('PEM files are read, and a wrong one is named', () => {
  const config = load(`${good}tls: { key: ./k, cert: ./c, ca: ./a }\n`)
  const options = optionsOf(config, (key, file) => `${key} of ${file.slice(directory.length)}`)
  expect(options.tls).toEqual({ key: 'key of /k', cert: 'cert of /c', ca: 'ca of /a' })
})

test('options in a program are checked as well, and the message names the key', () => {
  const right: KeyValueParticipantOptions = optionsOf(load(good))
  const wrong: [object, RegExp][] = [
    [{ ...right, name: '' }, /option name/],
    [{ ...right, data: '' }, /option data/],
    [{ ...right, listen: '10.0.0.5:7500' }, /option listen must be a loopback address/],
    [{ ...right, listen: 'here' }, /option listen/],
    [{ ...right, dir: 'x' }, /option dir must be left out/],
    [{ ...right, limits: { lockTimeout: 5 } }, /option limits\.lockTimeout must be left out/],
    [{ ...right, limits: { callsMax: 0 } }, /option limits\.callsMax/],
    [{ ...right, keepMs: -1 }, /option keepMs/],
  ]
  for (const [options, message] of wrong) expect(() => checkKeyValueOptions(options as never)).toThrow(message)
})
