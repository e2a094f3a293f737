import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Concordat } from './index.ts'
import { book, Trips } from './trips.support.ts'

let trips: Trips
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'concordat-embedded-'))
  trips = await Trips.start(false)
})
afterAll(async () => {
  await trips?.close()
  rmSync(folder, { recursive: true, force: true })
})

test('embedded() commits over two databases, remembers the outcome over a restart, and keeps its own cluster id', async () => {
  const options = { dataDir: join(folder, 'a'), resources: [trips.flights, trips.payments] }
  const run = async (): Promise<string> => {
    await using concordat = await Concordat.embedded(options)
    return concordat.transaction(async (tx) => {
      await book(await tx.enlist(trips.flights), tx.txid)
      await book(await tx.enlist(trips.payments), tx.txid)
      return tx.txid
    })
  }
  const txid = await run()
  const clusterId = readFileSync(join(options.dataDir, 'cluster-id'), 'utf8')
  expect(clusterId).toMatch(/^e[0-9a-f]{11}$/)
  expect(await trips.bookings(txid)).toEqual([1, 1])
  await using again = await Concordat.embedded(options)
  expect(await again.outcome(txid)).toBe('committed')
  expect(readFileSync(join(options.dataDir, 'cluster-id'), 'utf8')).toBe(clusterId)
  expect(await trips.prepared()).toBe(0)
})

test('a second process can not open the same directory', async () => {
  const dataDir = join(folder, 'b')
  await using _first = await Concordat.embedded({ dataDir, clusterId: 'mine' })
  expect(existsSync(join(dataDir, 'cluster-id'))).toBe(false)
  await expect(Concordat.embedded({ dataDir, clusterId: 'mine' })).rejects.toMatchObject({ code: 'WAL_LOCKED' })
})

test('embedded() names the wrong option', async () => {
  await expect(Concordat.embedded({ dataDir: '' })).rejects.toMatchObject({ code: 'INVALID_OPTIONS', key: 'dataDir' })
  await expect(Concordat.embedded({ dataDir: folder, resources: 7 as never })).rejects.toMatchObject({
    key: 'resources',
  })
})
