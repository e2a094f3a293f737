import { X509Certificate } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { ServerConfig } from '../server/index.ts'
import { timeDurableWrites } from './disk-probe.ts'
import { checkMachine } from './machine-checks.ts'
import { worse } from './statuses.support.ts'

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'cdt-doctor-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function configOf(data: string, changes: object = {}): ServerConfig {
  return {
    data,
    snapshots: { bytes: 1, tailBytes: 1 },
    raft: { heartbeatMs: 5_000, electionTimeoutMs: 15_000 },
    ...changes,
  } as unknown as ServerConfig
}

test('durable writes are timed, and nothing of them is left or seen', async () => {
  const directory = folder()
  const probing = timeDurableWrites(directory)
  const seen: string[] = []
  const watch = setInterval(() => seen.push(...readdirSync(directory)), 1)
  const { count, p50Ms, p99Ms, maxMs } = await probing
  clearInterval(watch)
  expect(count).toBeGreaterThan(0)
  expect(p50Ms).toBeGreaterThan(0)
  expect(p99Ms).toBeGreaterThanOrEqual(p50Ms)
  expect(maxMs).toBeGreaterThanOrEqual(p99Ms)
  expect(readdirSync(directory)).toEqual([])
  expect(seen).toEqual([])
})

test('a disk is judged by the heartbeat and the election timeout', async () => {
  const directory = folder()
  const judged = async (heartbeatMs: number, electionTimeoutMs: number) =>
    worse(await checkMachine(configOf(directory, { raft: { heartbeatMs, electionTimeoutMs } }), Date.now()))
  expect(await judged(5_000, 15_000)).toEqual([])
  expect(await judged(1e-6, 15_000)).toEqual(['warning diskSlow'])
  expect(await judged(1e-6, 1e-6)).toEqual(['error diskTooSlow'])
})

test('a directory that is not there is a warning, is not made, and its parent is looked at', async () => {
  const missing = join(folder(), 'a', 'b')
  const found = await checkMachine(configOf(missing), Date.now())
  expect(worse(found)).toEqual(['warning dataMissing'])
  expect(found.some(({ what }) => what === 'diskLatency')).toBe(true)
  expect(existsSync(missing)).toBe(false)
})

test('a path that is no directory is an error', async () => {
  const file = join(folder(), 'file')
  writeFileSync(file, '')
  expect(worse(await checkMachine(configOf(file), Date.now()))).toEqual(['error diskUnusable'])
})

test('a disk that has less room than the log may take is a warning', async () => {
  const greedy = { snapshots: { bytes: 1e18, tailBytes: 1 } }
  expect(worse(await checkMachine(configOf(folder(), greedy), Date.now()))).toEqual(['warning diskNearlyFull'])
})

test('TLS files that are missing, or are no certificates, are errors; without an authority anybody may come', async () => {
  const directory = folder()
  const [key, cert, none] = ['key', 'cert', 'none'].map((name) => join(directory, name)) as [string, string, string]
  writeFileSync(key, 'x')
  writeFileSync(cert, 'x')
  const of = async (tls: object) => worse(await checkMachine(configOf(directory, { tls }), Date.now()))
  expect(await of({ key: none, cert, ca: cert })).toEqual(['error tlsUnreadable'])
  expect(await of({ key, cert: none, ca: cert })).toEqual(['error tlsUnreadable', 'error certificateUnreadable'])
  expect(await of({ key, cert })).toEqual(['warning tlsOneSided', 'error certificateUnreadable'])
})

test('a certificate is judged by the time that it is valid', async () => {
  const fixture = (name: string): string => join(import.meta.dirname, '../transport/fixtures', name)
  const tls = { key: fixture('node-key.pem'), cert: fixture('node.pem'), ca: fixture('authority.pem') }
  const { validFrom, validTo } = new X509Certificate(readFileSync(tls.cert))
  const at = async (atMs: number) =>
    (await checkMachine(configOf(folder(), { tls }), atMs)).find(({ message }) => message.startsWith('tls.cert'))?.what
  const DAY_MS = 86_400_000
  expect(await at(Date.parse(validFrom) - DAY_MS)).toBe('certificateNotYet')
  expect(await at(Date.parse(validFrom) + DAY_MS)).toBe('certificate')
  expect(await at(Date.parse(validTo) - 10 * DAY_MS)).toBe('certificateEnds')
  expect(await at(Date.parse(validTo) + DAY_MS)).toBe('certificateExpired')
})
