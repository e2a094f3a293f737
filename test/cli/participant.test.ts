import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { freePorts } from '../support/fleet.support.ts'
import { concordat } from '../support/program.support.ts'

function configFile(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'cdt-test-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'participant.yaml')
  writeFileSync(path, text)
  return path
}

test('a participant whose configuration is wrong does not start, and says file, line and key', async () => {
  const path = configFile('cluster: trips\nname: a b\ndata: ./data\nlisten: 127.0.0.1:1\ncoordinators: []\n')
  const { code, stderr } = await concordat(['participant', 'kv', '--config', path])
  expect(code).toBe(2)
  expect(stderr).toContain('2 mistakes')
  expect(stderr).toContain(`${path}:2:1: name: expected 1 to 64 characters`)
  expect(stderr).toContain(`${path}:5:1: coordinators: name at least one coordinator`)
  const missing = await concordat(['participant', 'kv', '--config', `${path}.not`])
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('CONFIG_INVALID')])
  expect((await concordat(['participant', 'kv'])).code).toBe(2)
})

test('a TLS file that is missing is named', async () => {
  const path = configFile(
    'cluster: trips\nname: a\ndata: ./data\nlisten: 127.0.0.1:1\ncoordinators: [127.0.0.1:2]\ntls: { key: ./k, cert: ./c }\n',
  )
  const { code, stderr } = await concordat(['participant', 'kv', '--config', path])
  expect(code).toBe(2)
  expect(stderr).toMatch(/tls\.key: .*k can't be read/)
})

test('a status that nobody answers ends with 3, and with --json says so in JSON', async () => {
  const [port] = await freePorts(1)
  const { code, stdout } = await concordat(['participant', 'status', '--address', `127.0.0.1:${port}`, '--json'])
  expect(code).toBe(3)
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'KV_UNAVAILABLE', retryable: true } })
  expect((await concordat(['participant', 'status', '--address', 'nowhere'])).code).toBe(2)
})

test('the help names what there is', async () => {
  const { code, stdout } = await concordat(['participant', '--help'])
  expect(code).toBe(0)
  for (const word of ['kv', 'status', 'key-value']) expect(stdout).toContain(word)
})
