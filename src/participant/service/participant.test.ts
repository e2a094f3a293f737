import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { formatBranchTicket, makeTxid, parseBranchId, type Txid } from '../../base/index.ts'
import { FakeFleet } from '../../client/fake-coordinators.support.ts'
import { InvalidOptionsError } from '../../client/index.ts'
import { type Participant, type ParticipantOptions, participant } from './participant.ts'

const branch = parseBranchId(2)
let fleet: FakeFleet
let directory: string
let calls: string[]
let number = 0
const started: Participant[] = []

beforeEach(async () => {
  fleet = await FakeFleet.start(2)
  directory = mkdtempSync(join(tmpdir(), 'cdt-participant-'))
  calls = []
})
afterEach(async () => {
  await Promise.all(started.splice(0).map((each) => each.close()))
  await fleet.close()
  rmSync(directory, { recursive: true, force: true })
})

function options(): ParticipantOptions {
  return {
    name: 'mail',
    coordinators: fleet.addresses.map(({ host, port }) => `${host}:${port}`),
    clusterId: fleet.clusterId,
    journal: join(directory, 'journal'),
    prepare: () => void calls.push('prepare'),
    commit: () => void calls.push('commit'),
    abort: () => void calls.push('abort'),
  }
}

async function start(): Promise<Participant> {
  const instance = await participant(options())
  started.push(instance)
  await expect.poll(() => fleet.nodes.map(({ connections }) => connections)).toEqual([1, 1])
  return instance
}

function newTxid(): Txid {
  number += 1
  return makeTxid(Date.now(), new Uint8Array(10).fill(number))
}

function ticketOf(txid: Txid): string {
  return formatBranchTicket({ cluster: fleet.clusterId, txid, branch, participant: 'mail', timeoutMs: 30_000 })
}

test('it connects to every coordinator, votes where it was asked, and acknowledges to the leader', async () => {
  const mail = await start()
  const [leader, follower] = fleet.nodes
  const txid = newTxid()
  const { gid } = await mail.work(ticketOf(txid), (key) => key)
  expect(mail.open()).toEqual([{ txid, branch, gid, state: 'joined' }])
  // Somebody who thinks that it leads.
  follower?.push({ kind: 'prepare', txid, branch, participant: 'mail', timeoutMs: 1_000 })
  await expect.poll(() => follower?.got('vote')).toMatchObject([{ txid, branch, vote: 'commit' }])
  leader?.push({ kind: 'prepare', txid, branch, participant: 'mail', timeoutMs: 1_000 })
  await expect.poll(() => leader?.got('vote')).toMatchObject([{ txid, branch, vote: 'commit' }])
  leader?.push({ kind: 'decision', txid, branch, decision: 'commit' })
  await expect.poll(() => leader?.got('ack')).toMatchObject([{ txid, branches: [branch] }])
  expect(calls).toEqual(['prepare', 'commit'])
  expect(mail.open()).toEqual([])
})

test('a decision twice is carried out once and acknowledged twice', async () => {
  await start()
  const [leader] = fleet.nodes
  const txid = newTxid()
  for (let i = 0; i < 2; i++) {
    leader?.push({ kind: 'decision', txid, branch, decision: 'abort' })
    await expect.poll(() => leader?.got('ack')).toHaveLength(i + 1)
  }
  expect(calls).toEqual(['abort'])
})

test('a late PREPARE after the abort is refused, also by the next process', async () => {
  const mail = await start()
  const [leader] = fleet.nodes
  const txid = newTxid()
  await mail.work(ticketOf(txid), (key) => key)
  leader?.push({ kind: 'decision', txid, branch, decision: 'abort' })
  await expect.poll(() => leader?.got('ack')).toHaveLength(1)
  leader?.push({ kind: 'prepare', txid, branch, participant: 'mail', timeoutMs: 1_000 })
  await expect.poll(() => leader?.got('vote')).toMatchObject([{ vote: 'abort' }])
  await mail.close()
  started.length = 0
  await start()
  leader?.push({ kind: 'prepare', txid, branch, participant: 'mail', timeoutMs: 1_000 })
  await expect.poll(() => leader?.got('vote').map(({ vote }) => vote)).toEqual(['abort', 'abort'])
  expect(calls).toEqual(['abort'])
})

test('in doubt it asks the leader, and another one when that dies', async () => {
  fleet.answer = ({ requestId, txid }) => ({ kind: 'outcome', requestId, txid, outcome: { kind: 'preparing' } })
  const mail = await start()
  const [leader, other] = fleet.nodes
  const txid = newTxid()
  await mail.work(ticketOf(txid), (key) => key)
  leader?.push({ kind: 'prepare', txid, branch, participant: 'mail', timeoutMs: 1_000 })
  await expect.poll(() => leader?.got('inquire'), { timeout: 5_000 }).toMatchObject([{ txid, settle: true }])
  fleet.answer = ({ requestId, txid: asked }) => ({
    kind: 'outcome',
    requestId,
    txid: asked,
    outcome: { kind: 'committed' },
  })
  await leader?.stop()
  fleet.elect(other?.nodeId)
  await expect.poll(() => other?.got('ack'), { timeout: 10_000 }).toMatchObject([{ txid, branches: [branch] }])
  expect(calls).toEqual(['prepare', 'commit'])
})

test('a second process can not use the same journal, and neither can another fleet', async () => {
  const mail = await start()
  await expect(participant(options())).rejects.toMatchObject({ code: 'WAL_LOCKED' })
  await mail.close()
  await expect(participant({ ...options(), clusterId: 'other' })).rejects.toMatchObject({ code: 'WAL_IDENTITY' })
})

test('options that can not be used are refused, and nothing is made', async () => {
  const wrong: readonly [object, string][] = [
    [{ name: 'a b' }, 'name'],
    [{ journal: '' }, 'journal'],
    [{ prepare: undefined }, 'prepare'],
    [{ concurrency: 0 }, 'concurrency'],
    [{ coordinators: [] }, 'coordinators'],
    [{ clusterId: 7 }, 'clusterId'],
    [{ commits: () => {} }, 'commits'],
  ]
  for (const [change, key] of wrong) {
    const error = await participant({ ...options(), ...change } as ParticipantOptions).catch(
      (thrown: unknown) => thrown,
    )
    expect(error, key).toBeInstanceOf(InvalidOptionsError)
    expect(error).toMatchObject({ key })
  }
})
