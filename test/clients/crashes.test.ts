import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, onTestFailed, onTestFinished, test } from 'vitest'
import { Concordat } from '../../src/client/index.ts'
import { askLeader } from '../../src/server/index.ts'
import { Banks } from '../support/banks.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { root } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'
import type { CrashOrders, CrashPoint } from './crashing-application.ts'

let banks: Banks
beforeAll(async () => {
  banks = await Banks.start()
})
afterAll(() => banks?.close())

const APPLICATION = fileURLToPath(new URL('./crashing-application.ts', import.meta.url))

/** Runs the application until it kills itself, and answers the transaction's id. */
async function crash(orders: CrashOrders): Promise<string> {
  const child = spawn(process.execPath, ['--import', 'tsx', APPLICATION, JSON.stringify(orders)], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  let told = ''
  child.stdout.on('data', (chunk) => {
    told += chunk
  })
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  }
  onTestFailed(() => console.error(`the application said:\n${output}`))
  const [, signal] = (await once(child, 'close')) as [number | null, string | null]
  expect(signal, output).toBe('SIGKILL')
  return told.split('\n')[0] ?? ''
}

async function nothingPrepared(): Promise<void> {
  await until('nothing is prepared any more', async () => (await banks.prepared()).length === 0)
}

/** What must come of a transaction whose application died there. */
const POINTS: readonly {
  readonly point: CrashPoint
  readonly where: string
  readonly end: 'all' | 'none' | 'either'
}[] = [
  { point: 'beforePrepare', where: 'before any branch was prepared', end: 'none' },
  { point: 'amidPrepare', where: 'with one branch prepared', end: 'none' },
  { point: 'beforeCommitRequest', where: 'with all branches prepared and nothing asked', end: 'none' },
  { point: 'afterCommitRequest', where: 'after the commit request', end: 'either' },
  { point: 'afterDecision', where: 'after the decision, before phase two', end: 'all' },
  { point: 'amidPhaseTwo', where: 'with one branch committed', end: 'all' },
  { point: 'beforeAck', where: 'with all branches committed and none acknowledged', end: 'all' },
]

function names(): readonly string[] {
  return banks.banks.map(({ name }) => name)
}

async function expectEnd(transfer: string, end: 'all' | 'none' | 'either'): Promise<'all' | 'none'> {
  const booked = await banks.bookedIn(transfer)
  if (end === 'all') expect(booked).toEqual(names())
  else if (end === 'none') expect(booked).toEqual([])
  else expect([[], names()]).toContainEqual(booked)
  expect(await banks.total()).toBe(banks.totalAtStart)
  return booked.length === 0 ? 'none' : 'all'
}

test('P1, P7: whenever an application is killed, the coordinators finish what it began, in all databases or in none', async () => {
  const fleet = await Fleet.start({ config: { resources: banks.configured } })
  // One table in one fleet: the applications follow each other as they would in a bad night.
  for (const { point, where, end } of POINTS) {
    const transfer = `fleet-${point}`
    const txid = await crash({ point, transfer, urls: banks.urls, coordinators: fleet.addresses })
    await nothingPrepared()
    const found = await expectEnd(transfer, end)
    const { kind } = await fleet.outcome(txid)
    if (found === 'all') expect(kind, where).toBe('committed')
    else expect(['aborted', 'unknown'], where).toContain(kind)
  }
  await until('every decision is acknowledged by every branch', async () => {
    const open = await askLeader(fleet.addresses, { method: 'list', state: 'open', limit: 50 }, { timeoutMs: 2_000 })
    return open.length === 0
  })
  const findings = await askLeader(
    fleet.addresses,
    { method: 'list', state: 'heuristic', limit: 50 },
    { timeoutMs: 2_000 },
  )
  expect(findings, 'nothing is left for an operator to look at').toEqual([])
}, 90_000)

test('P6, P7: the coordinators finish it even when their leader dies together with the application', async () => {
  const fleet = await Fleet.start({ config: { resources: banks.configured } })
  const { node } = await fleet.leader()
  await crash({ point: 'afterDecision', transfer: 'both', urls: banks.urls, coordinators: fleet.addresses })
  await fleet.kill(node)
  await nothingPrepared()
  await expectEnd('both', 'all')
})

for (const { point, where, end } of POINTS.filter((each) =>
  /afterDecision|beforeCommitRequest|amidPhaseTwo/.test(each.point),
)) {
  test(`an embedded coordinator killed ${where} settles it when it is opened again`, async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'cdt-test-'))
    onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }))
    const transfer = `embedded-${point}`
    const txid = await crash({ point, transfer, urls: banks.urls, dataDir })
    const resources = banks.banks.map(({ resource }) => resource)
    const concordat = await Concordat.embedded({ dataDir, resources })
    onTestFinished(() => concordat.close())
    await nothingPrepared()
    await expectEnd(transfer, end)
    expect(await concordat.outcome(txid)).toBe(end === 'all' ? 'committed' : 'aborted')
    await concordat.transaction(async (tx) => {
      for (const bank of banks.banks) await bank.book(tx, `${transfer}-after`, 2, 0)
    })
    await expectEnd(`${transfer}-after`, 'all')
  })
}
