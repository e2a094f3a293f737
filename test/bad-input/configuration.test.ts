import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CommandEnd, concordat } from '../support/program.support.ts'

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'cdt-test-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

const GOOD = `cluster: trips
node: 1
data: ./data
members:
  - { id: 1, address: 127.0.0.1:7499 }
`

async function serve(text: string, args: readonly string[] = []): Promise<CommandEnd> {
  const file = join(directory, 'concordat.yaml')
  writeFileSync(file, text)
  return await concordat(['serve', '--config', file, ...args])
}

/** The mistake, and what the operator reads. Every message names the place. */
const MISTAKES: readonly (readonly [string, string, readonly string[], readonly RegExp[]])[] = [
  [
    'an unknown key',
    `${GOOD}hartbeat: 50\n`,
    [],
    [/concordat\.yaml:6:1: hartbeat: is not a key that this version knows; check the spelling/],
  ],
  [
    'an unknown key inside',
    `${GOOD}raft:\n  hartbeatMs: 50\n`,
    [],
    [/concordat\.yaml:7:3: raft\.hartbeatMs: is not a key/],
  ],
  ['a wrong type', GOOD.replace('node: 1', 'node: one'), [], [/concordat\.yaml:2:1: node: .*expected number/i]],
  [
    'two mistakes at once',
    `${GOOD.replace('node: 1', 'node: 70000')}frames: 7\n`,
    [],
    [/2 mistakes/, /node:.*70000/, /frames/],
  ],
  ['a missing key', GOOD.replace('data: ./data\n', ''), [], [/concordat\.yaml: data: /]],
  [
    'a bad address',
    GOOD.replace(':7499', ''),
    [],
    [/members\[0\]\.address: expected host:port, for example 10\.0\.0\.1:7400/],
  ],
  ['a node that is no member', GOOD.replace('node: 1', 'node: 2'), [], [/members: node 2 is not among the members/]],
  ['text that is no YAML', 'cluster: [trips', [], [/concordat\.yaml: /]],
  [
    'a secret that is not set',
    `${GOOD}resources:\n  - { name: a, kind: postgres, url: "postgres://u:\${CDT_NO_SUCH_SECRET}@h/d" }\n`,
    [],
    [/resources\[0\]\.url: the environment variable CDT_NO_SUCH_SECRET is not set/],
  ],
  [
    'a URL of another kind',
    `${GOOD}resources:\n  - { name: a, kind: mysql, url: "postgres://u:hush@h/d" }\n`,
    [],
    [/resource a: its kind is mysql, but its URL is one of postgres; make them fit/],
  ],
  [
    'an address that all the world reaches, without TLS',
    GOOD.replace('127.0.0.1', '0.0.0.0'),
    [],
    [/without TLS a coordinator listens on loopback only/],
  ],
  [
    'a certificate that is not there',
    `${GOOD}tls: { key: ./no.key, cert: ./no.crt }\n`,
    [],
    [/tls\.key: .*no\.key can't be read/],
  ],
  ['a flag with a wrong value', GOOD, ['--heartbeat-ms', 'fast'], [/--heartbeat-ms: raft\.heartbeatMs: /]],
  ['a flag that does not exist', GOOD, ['--heartbeat', '50'], [/unknown option '--heartbeat'/, /--help says more/]],
]

describe('a mistake in the configuration: exit code 2, the place is named, nothing is made', () => {
  test.each(MISTAKES)('%s', async (_, text, args, patterns) => {
    const { code, stdout, stderr } = await serve(text, args)
    expect(code, stderr).toBe(2)
    for (const pattern of patterns) expect(stderr).toMatch(pattern)
    expect(stderr, 'a secret never comes out').not.toContain('hush')
    expect(stderr, 'a mistake is no crash').not.toMatch(/\n\s+at /)
    expect(stdout).toBe('')
    expect(existsSync(join(directory, 'data'))).toBe(false)
  })
})

test('a configuration file that is not there is named', async () => {
  const { code, stderr } = await concordat(['serve', '--config', join(directory, 'no-such.yaml')])
  expect(code).toBe(2)
  expect(stderr).toMatch(/no-such\.yaml can't be read .*; check the path and its rights \[CONFIG_INVALID\]/)
})
