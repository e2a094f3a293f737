import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { httpParticipant } from '../participant/http/index.ts'
import type { ServerConfig } from '../server/index.ts'
import { checkServices } from './service-checks.ts'
import { worse } from './statuses.support.ts'

const SECRET = 'a secret of this test'

/** A service of cluster trips, with nothing to do. @returns its URL */
async function startService(name: string): Promise<string> {
  const journal = mkdtempSync(join(tmpdir(), 'cdt-test-'))
  const nothing = (): void => {}
  const handlers = { prepare: nothing, commit: nothing, abort: nothing }
  const service = await httpParticipant({
    name,
    clusterId: 'trips',
    journal,
    credentials: { secret: SECRET },
    ...handlers,
  })
  const server = createServer(service.node()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await service.close()
    rmSync(journal, { recursive: true })
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function configOf(...participants: readonly Partial<ServerConfig['participants'][number]>[]): ServerConfig {
  const defaults = { url: [], plainHttp: false, timeoutMs: 1_000, concurrency: 4 }
  return { cluster: 'trips', participants: participants.map((each) => ({ ...defaults, ...each })) } as never
}

test('a service that answers as it should is ok, and one that connects by itself is not asked', async () => {
  const url = [await startService('payments')]
  const findings = await checkServices(configOf({ name: 'payments', url, secret: SECRET }, { name: 'tickets' }))
  expect(findings).toMatchObject([{ subject: 'service payments', level: 'ok', what: 'serviceAnswers' }])
})

test.each([
  ['the wrong secret', 'payments', 'another secret of it', /401 \(SERVICE_UNAUTHORIZED/],
  ['the wrong name', 'refunds', SECRET, /it answers for payments; correct its URL/],
])('%s is an error that says what it is', async (_, name, secret, said) => {
  const findings = await checkServices(configOf({ name, url: [await startService('payments')], secret }))
  expect(worse(findings)).toEqual(['error serviceNoAnswer'])
  expect(findings[0]?.message).toMatch(said)
})

test('of several URLs each has its finding; nobody there is an error', async () => {
  const url = [await startService('payments'), 'http://127.0.0.1:1']
  const findings = await checkServices(configOf({ name: 'payments', url, secret: SECRET }))
  expect(findings.map(({ level, subject }) => `${level} ${subject}`)).toEqual([
    `ok service payments at ${url[0]}`,
    `error service payments at ${url[1]}`,
  ])
  expect(findings[1]?.message).toMatch(/ECONNREFUSED/)
})

test('no credentials and no encryption are warnings; a missing authority file is an error, and nobody is asked', async () => {
  const url = ['http://127.0.0.1:1']
  const findings = await checkServices(configOf({ name: 'payments', url, plainHttp: true, ca: './no-such.pem' }))
  expect(worse(findings)).toEqual(['warning serviceOpen', 'warning servicePlain', 'error serviceCa'])
})
