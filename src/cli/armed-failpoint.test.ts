import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { hit, isArmed } from '../base/index.ts'
import { armFromEnvironment } from './armed-failpoint.ts'

function orderFile(): string {
  const directory = mkdtempSync(join(tmpdir(), 'cdt-failpoint-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'order')
}

test('an environment that names a file without consent arms nothing, and is told so', () => {
  const said: string[] = []
  armFromEnvironment({}, (message) => said.push(message))
  expect(said).toEqual([])
  armFromEnvironment({ CONCORDAT_FAILPOINT_FILE: orderFile() }, (message) => said.push(message))
  expect(said).toEqual([expect.stringContaining('ignored')])
  expect(isArmed()).toBe(false)
})

test('a process dies at the point that the file names, once, and at no other', () => {
  const file = orderFile()
  const said: string[] = []
  const died: string[] = []
  const env = { CONCORDAT_FAILPOINT_FILE: file, CONCORDAT_FAILPOINT_CONSENT: 'this-process-may-die' }
  armFromEnvironment(
    env,
    (message) => said.push(message),
    ({ name, txid }) => died.push(`${name} of ${txid}`),
  )
  expect(said).toEqual([expect.stringContaining('kills itself')])
  hit('wal.batch.durable')
  writeFileSync(file, 'coordinator.commit.applied\n')
  hit('wal.batch.durable')
  expect(died).toEqual([])
  hit('coordinator.commit.applied', 't1')
  hit('coordinator.commit.applied', 't2')
  expect(died).toEqual(['coordinator.commit.applied of t1'])
  expect(existsSync(file)).toBe(false)
  expect(JSON.parse(readFileSync(`${file}.taken`, 'utf8'))).toMatchObject({ txid: 't1', pid: process.pid })
})
