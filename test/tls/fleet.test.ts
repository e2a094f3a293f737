import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Concordat } from '../../src/client/index.ts'
import { newTxid } from '../support/decisions.support.ts'
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
