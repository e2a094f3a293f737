import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ConfigError } from './config-error.ts'
import { loadConfig } from './config-file.ts'

const directory = mkdtempSync(join(tmpdir(), 'cdt-config-'))
afterAll(() => rmSync(directory, { recursive: true }))

function file(text: string): string {
  const path = join(directory, 'concordat.yaml')
  writeFileSync(path, text)
  return path
}

function mistakeIn(text: string, environment: Record<string, string> = {}): string {
  try {
    loadConfig(file(text), [], environment)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  throw new Error('the configuration was accepted')
}

const good = `cluster: trips
node: 1
data: ./data
members:
  - { id: 1, address: 127.0.0.1:7400 }
`

test('a short configuration is filled with the defaults, and its paths are relative to the file', () => {
  const config = loadConfig(file(good))
  expect(config).toMatchObject({
    cluster: 'trips',
    node: 1,
    data: join(directory, 'data'),
    raft: { heartbeatMs: 50, electionTimeoutMs: 300 },
    resolver: { scanMs: 5_000, graceMs: 1_000 },
  })
})

test('an unknown key is refused with file, line and key', () => {
  const message = mistakeIn(`${good}raft:\n  heartbeatMS: 50\n`)
  expect(message).toContain('concordat.yaml:7:3: raft.heartbeatMS: is not a key')
})

test('a wrong type is refused with file, line and key', () => {
  const message = mistakeIn(good.replace('node: 1', 'node: one'))
  expect(message).toMatch(/concordat\.yaml:2:1: node: .*number/)
})

test('every mistake is named, not only the first', () => {
  const message = mistakeIn('cluster: "no spaces here"\nnode: 0\nmembers: []\n')
  expect(message).toMatch(/cluster: .*cluster id/)
  expect(message).toMatch(/node: .*node id/)
  expect(message).toMatch(/data: /)
  expect(message).toMatch(/members: /)
})

test('a node that is not among the members is refused', () => {
  expect(mistakeIn(good.replace('node: 1', 'node: 2'))).toContain('node 2 is not among the members')
})

test('a member that is named twice is refused', () => {
  expect(mistakeIn(`${good}  - { id: 1, address: 127.0.0.1:7401 }\n`)).toContain('1 is named twice')
})

test('secrets come from the environment, and a missing one is named with its place, without any value', () => {
  const text = `${good}resources:\n  - { name: flights, kind: postgres, url: "\${FLIGHTS_URL}" }\n`
  expect(mistakeIn(text)).toMatch(/:7:\d+: resources\[0\]\.url: the environment variable FLIGHTS_URL is not set/)
  const config = loadConfig(file(text), [], { FLIGHTS_URL: 'postgres://u:p@127.0.0.1/flights' })
  expect(config.resources[0]?.url).toBe('postgres://u:p@127.0.0.1/flights')
})

test('flags override the file, and a mistake in a flag names the flag', () => {
  const override = { path: ['raft', 'heartbeatMs'], value: 20, flag: '--heartbeat-ms' }
  expect(loadConfig(file(good), [override]).raft.heartbeatMs).toBe(20)
  expect(() => loadConfig(file(good), [{ ...override, value: 'soon' }])).toThrow(/--heartbeat-ms: raft\.heartbeatMs/)
})

test('a file that is not YAML is refused with the line', () => {
  expect(mistakeIn('cluster: [trips\nnode: 1\n')).toMatch(/line \d/)
})

test('a key that is missing is called missing', () => {
  expect(mistakeIn(good.replace('cluster: trips\n', ''))).toMatch(
    /concordat\.yaml: cluster: is missing.*expected: string/,
  )
})

test('a missing file is refused with what to do', () => {
  expect(() => loadConfig(join(directory, 'absent.yaml'))).toThrow(/can't be read .* check the path/)
})

test('a node that joins needs a member to turn to, and a place to listen', () => {
  const joining = `${good.replace('node: 1', 'node: 4')}join: true\n`
  expect(mistakeIn(joining)).toMatch(/listen: is missing: a node that joins and is not among the members/)
  expect(loadConfig(file(`${joining}listen: 127.0.0.1:7404\n`))).toMatchObject({ node: 4, join: true })
  expect(mistakeIn(`${good}join: true\n`)).toMatch(/members: a node that joins needs the address of a member/)
  expect(mistakeIn(good.replace('node: 1', 'node: 4'))).toMatch(/node 4 is not among the members/)
  expect(loadConfig(file(good)).join).toBe(false)
})

test('services are named alone, or with their URLs; the certificate authority is relative to the file', () => {
  const text = `${good}participants:
  - mail
  - { name: payments, url: "https://payments.internal:8443/concordat/", secret: "\${SECRET}", ca: ./ca.pem }
  - { name: hotels, url: ["http://127.0.0.1:8081", "http://[::1]:8082/x"], token: 0123456789abcdef, timeoutMs: 900 }
`
  const { participants } = loadConfig(file(text), [], { SECRET: 'sixteen letters!' })
  expect(participants).toEqual([
    { name: 'mail', url: [], plainHttp: false, timeoutMs: 5_000, concurrency: 32 },
    {
      name: 'payments',
      url: ['https://payments.internal:8443/concordat'],
      secret: 'sixteen letters!',
      ca: join(directory, 'ca.pem'),
      plainHttp: false,
      timeoutMs: 5_000,
      concurrency: 32,
    },
    {
      name: 'hotels',
      url: ['http://127.0.0.1:8081', 'http://[::1]:8082/x'],
      token: '0123456789abcdef',
      plainHttp: false,
      timeoutMs: 900,
      concurrency: 32,
    },
  ])
})

test.each([
  ['{ name: mail, url: "http://10.0.0.5:80" }', /url: without TLS a service is called on loopback only/],
  ['{ name: mail, url: "https://user:word@10.0.0.5" }', /url\[0\]: expected a URL such as .* without user/],
  ['{ name: mail, url: "https://10.0.0.5/?a=b" }', /url\[0\]: expected a URL/],
  ['{ name: mail, url: "ftp://10.0.0.5" }', /url\[0\]: expected a URL/],
  ['{ name: mail, url: "nowhere" }', /url\[0\]: expected a URL/],
  ['{ name: mail, url: ["http://localhost", "http://localhost/"] }', /url: an instance is named twice/],
  ['{ name: mail, secret: "sixteen letters!" }', /secret: is only for services that are called/],
  ['{ name: mail, url: "http://localhost", secret: short }', /secret: a secret has at least 16/],
  ['{ name: mail, url: "http://localhost", secret: sixteen-letters!, token: sixteen-letters- }', /not both/],
  ['{ name: mail, url: "http://localhost", ca: ca.pem }', /ca: is only for https/],
  ['{ name: mail, url: "http://localhost", timeoutMs: 70000 }', /timeoutMs/],
  ['{ name: mail, urls: "http://localhost" }', /urls: is not a key/],
  ['a service', /participants\[0\].name: expected 1 to 64/],
])('a service that is configured as %s is refused', (participant, words) => {
  expect(mistakeIn(`${good}participants:\n  - ${participant}\n`)).toMatch(words)
})

test('a service may not have the name of a database, nor be named twice', () => {
  const text = `${good}resources:\n  - { name: mail, kind: postgres, url: "postgres://h/d" }\nparticipants: [mail, sms, sms]\n`
  expect(mistakeIn(text)).toMatch(/mail is a database/)
  expect(mistakeIn(text)).toMatch(/sms is named twice/)
})

test('plain HTTP to other machines is there for who asks for it', () => {
  const text = `${good}participants:\n  - { name: mail, url: "http://mail:8080", plainHttp: true }\n`
  expect(loadConfig(file(text)).participants[0]?.url).toEqual(['http://mail:8080'])
})
