import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { type BranchId, makeGid } from '../../src/base/index.ts'
import { Concordat } from '../../src/client/index.ts'
import { LocalServers } from '../../src/localdb/index.ts'
import type { ForceAnswer } from '../../src/server/index.ts'
import { asCluster, newTxid } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { concordat, root } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'

const fixture = (name: string): string => join(root, 'src/transport/fixtures', name)
const pem = (name: string): Buffer => readFileSync(fixture(name))

test('a fleet under mutual TLS elects, decides and answers those whom its authority signed, and nobody else', async () => {
  const fleet = await Fleet.prepare({
    config: { tls: { key: fixture('node-key.pem'), cert: fixture('node.pem'), ca: fixture('authority.pem') } },
  })
  fleet.startAll()
  const flags = [
    '--tls-ca',
    fixture('authority.pem'),
    '--tls-cert',
    fixture('client.pem'),
    '--tls-key',
    fixture('client-key.pem'),
  ]
  const ask = (...args: readonly string[]) => concordat([...args, '--coordinators', fleet.addresses.join(',')])
  await until('a leader answers over TLS', async () => (await ask('list', ...flags)).code === 0, 20_000)

  const tls = { ca: pem('authority.pem'), cert: pem('client.pem'), key: pem('client-key.pem') }
  const txid = newTxid()
  await using client = new Concordat({ coordinators: fleet.addresses, tls })
  expect(await client.outcome(txid)).toBe('aborted')
  const asked = await ask('outcome', txid, ...flags, '--json')
  expect(JSON.parse(asked.stdout)).toMatchObject({ kind: 'aborted', reason: 'presumed' })

  const plain = await ask('status')
  expect(plain.code).toBe(3)
  const foreign = await ask(
    'status',
    '--tls-ca',
    fixture('authority.pem'),
    '--tls-cert',
    fixture('foreign.pem'),
    '--tls-key',
    fixture('foreign-key.pem'),
  )
  expect(foreign.code).toBe(3)
})

test('under mutual TLS a branch is ended by hand: the others say over TLS what they know, and the book names the certificate', async () => {
  const servers = new LocalServers()
  onTestFinished(() => servers.close())
  const database = await servers.startPostgres()
  const fleet = await Fleet.prepare({
    config: {
      tls: { key: fixture('node-key.pem'), cert: fixture('node.pem'), ca: fixture('authority.pem') },
      resources: [{ name: 'flights', kind: 'postgres', url: database.url() }],
      resolver: { scanMs: 500, graceMs: 3_600_000 },
    },
  })
  fleet.startAll()
  const [ca, cert, key] = ['authority.pem', 'client.pem', 'client-key.pem'].map(fixture) as [string, string, string]
  const flags = ['--tls-ca', ca, '--tls-cert', cert, '--tls-key', key, '--json']
  const ask = (...args: readonly string[]) =>
    concordat([...args, ...flags, '--coordinators', fleet.addresses.join(',')])
  await until('all have joined', async () => {
    const { code, stdout } = await ask('members', 'list')
    const { members = [] } = code === 0 ? JSON.parse(stdout) : {}
    return members.length === 3 && members.every(({ alive }: { alive?: boolean }) => alive === true)
  })
  const gid = makeGid(asCluster('test'), newTxid(), 0 as BranchId)
  const client = new pg.Client({ connectionString: database.url() })
  client.on('error', () => {})
  await client.connect()
  await client.query(`create table t (id int); begin; insert into t values (1); prepare transaction '${gid}'`)
  await client.end()
  const { code, stdout } = await ask('settle', gid, '--abort', '--reason', 'left behind', '--by', 'ann', '--yes')
  expect(code).toBe(0)
  const answer = JSON.parse(stdout) as ForceAnswer
  expect(answer.unasked, 'both others were asked').toEqual([])
  expect(answer.settlement.by).toMatch(/^ann \(127\.0\.0\.1:\d+, .+\)$/)
})
