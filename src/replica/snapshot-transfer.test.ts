import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { parseNodeId } from '../base/index.ts'
import {
  EMPTY_CONFIGURATION,
  type InstallSnapshot,
  type InstallSnapshotResponse,
  type LogIndex,
  type Term,
} from '../raft/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { CLUSTER } from './fleet.support.ts'
import type { StoredSnapshot } from './snapshot-store.ts'
import { SnapshotTransfer } from './snapshot-transfer.ts'

const BYTES = Buffer.from(Array.from({ length: 1050 }, (_, at) => at % 251))
const POSITION = { index: 40 as LogIndex, term: 2 as Term }
const SNAPSHOT: StoredSnapshot = {
  name: 'snapshot-40-2.snap',
  header: {
    clusterId: CLUSTER,
    position: POSITION,
    configuration: { configuration: EMPTY_CONFIGURATION, context: Buffer.alloc(0) },
    takenAtMs: 0,
  },
  fileBytes: BYTES.length,
  snapshotId: 99,
}

/** A transfer in chunks of 100 bytes, and what it sent. */
async function transferOf(): Promise<{ transfer: SnapshotTransfer; sent: InstallSnapshot[]; errors: unknown[] }> {
  const disk = new MemoryDisk()
  disk.overwrite('/file', BYTES)
  const sent: InstallSnapshot[] = []
  const errors: unknown[] = []
  const transfer = new SnapshotTransfer({
    snapshot: SNAPSHOT,
    file: await disk.openFile('/file'),
    from: parseNodeId(1),
    to: parseNodeId(2),
    term: 7 as Term,
    chunkBytes: 100,
    send: (message) => sent.push(message),
    onError: (error) => errors.push(error),
  })
  return { transfer, sent, errors }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
}

test('nothing is sent before the receiver has said where to begin', async () => {
  const { transfer, sent } = await transferOf()
  transfer.ask()
  await settle()
  expect(sent).toEqual([
    {
      kind: 'installSnapshot',
      from: 1,
      to: 2,
      term: 7,
      snapshot: POSITION,
      snapshotId: 99,
      totalBytes: 1050,
      offset: 0,
      data: Buffer.alloc(0),
      checksum: 0,
    },
  ])
})

test('at most four chunks are under way, and each acknowledgement lets the next one go', async () => {
  const { transfer, sent } = await transferOf()
  transfer.ask()
  transfer.acknowledge(0)
  await settle()
  const offsets = () => sent.slice(1).map(({ offset }) => offset)
  expect(offsets()).toEqual([0, 100, 200, 300])
  transfer.acknowledge(100)
  await settle()
  expect(offsets()).toEqual([0, 100, 200, 300, 400])
  for (const { offset, data, checksum } of sent.slice(1)) {
    expect(Buffer.from(data)).toEqual(BYTES.subarray(offset, offset + 100))
    expect(checksum).toBe(crc32(data))
  }
})

test('it goes on where the receiver is, and ends with the rest', async () => {
  const { transfer, sent } = await transferOf()
  transfer.ask()
  transfer.acknowledge(850)
  await settle()
  expect(sent.slice(1).map(({ offset, data }) => [offset, data.length])).toEqual([
    [850, 100],
    [950, 100],
  ])
})

test('after a silence it asks again, and sends anew from there what got lost', async () => {
  const { transfer, sent } = await transferOf()
  transfer.ask()
  transfer.acknowledge(0)
  await settle()
  transfer.ask()
  transfer.acknowledge(100)
  await settle()
  expect(sent.map(({ offset, data }) => [offset, data.length])).toEqual([
    [0, 0],
    [0, 100],
    [100, 100],
    [200, 100],
    [300, 100],
    [0, 0],
    [100, 100],
    [200, 100],
    [300, 100],
    [400, 100],
  ])
})

test('a receiver that throws away what it has, again and again, is given up', async () => {
  const { transfer } = await transferOf()
  transfer.ask()
  for (let round = 0; round < 4; round++) {
    expect(transfer.isFutile).toBe(false)
    transfer.acknowledge(1050)
    transfer.acknowledge(0)
  }
  expect(transfer.isFutile).toBe(true)
  await settle()
})

test('an answer about another snapshot or of another term is none', async () => {
  const { transfer } = await transferOf()
  const answer: InstallSnapshotResponse = {
    kind: 'installSnapshotResponse',
    from: parseNodeId(2),
    to: parseNodeId(1),
    term: 7 as Term,
    snapshot: POSITION,
    snapshotId: 99,
    receivedBytes: 0,
    status: 'receiving',
  }
  expect(transfer.isAbout(answer)).toBe(true)
  expect(transfer.isAbout({ ...answer, snapshotId: 98 })).toBe(false)
  expect(transfer.isAbout({ ...answer, term: 8 as Term })).toBe(false)
  expect(transfer.isAbout({ ...answer, snapshot: { ...POSITION, index: 41 as LogIndex } })).toBe(false)
})

test('once it has ended nothing more is sent, and reading fails nobody', async () => {
  const { transfer, sent, errors } = await transferOf()
  transfer.ask()
  transfer.acknowledge(0)
  await transfer.end()
  await settle()
  transfer.acknowledge(500)
  await settle()
  expect(sent.length).toBeLessThanOrEqual(2)
  expect(errors).toEqual([])
})

test('more than there is can not be acknowledged', async () => {
  const { transfer, sent } = await transferOf()
  transfer.ask()
  transfer.acknowledge(2000)
  await settle()
  expect(transfer.acknowledgedBytes).toBe(0)
  expect(sent).toHaveLength(1)
})
