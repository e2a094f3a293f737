import { afterEach, expect, test } from 'vitest'
import { InvariantError } from '../base/index.ts'
import { memoryNetwork } from '../transport/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { eventually, membersOn, replicaOptions } from './fleet.support.ts'
import type { ReplicaTuning } from './options.ts'
import { Recorder } from './recorder.support.ts'
import { Replica } from './replica.ts'

// A group of one: everything that needs no peers.

const opened: Replica[] = []

afterEach(async () => {
  for (const replica of opened.splice(0)) await replica.close()
})

interface Node {
  readonly replica: Replica
  readonly recorder: Recorder
  readonly fatal: Error[]
  readonly disk: MemoryDisk
}

async function lead(
  disk = new MemoryDisk(),
  tuning: Partial<ReplicaTuning> = {},
  recorder = new Recorder(),
): Promise<Node> {
  const node = await open(disk, tuning, recorder)
  await node.replica.start(recorder)
  await eventually('it leads', () => recorder.leads)
  return node
}

async function open(disk: MemoryDisk, tuning: Partial<ReplicaTuning>, recorder = new Recorder()): Promise<Node> {
  const fatal: Error[] = []
  const members = membersOn([7001])
  const options = { network: memoryNetwork(), disk, directory: '/log', members, nodeId: members[0]!.nodeId }
  const replica = await Replica.open(replicaOptions(options, (error) => fatal.push(error), tuning))
  opened.push(replica)
  return { replica, recorder, fatal, disk }
}

const bytes = (text: string) => Buffer.from(text)

test('a group of one leads without network, listener or waiting', async () => {
  const { replica } = await lead()
  expect(replica.status().raft).toMatchObject({ role: 'leader', serving: true, currentTerm: 1 })
  expect(replica.status().peers).toEqual([])
})

test('each leadership has a new term', async () => {
  const disk = new MemoryDisk()
  const first = await lead(disk)
  await first.replica.close()
  const second = await lead(disk)
  expect([...first.recorder.terms, ...second.recorder.terms]).toEqual([1, 2])
})

test('all proposals of a turn leave as one write to the disk', async () => {
  let writes = 0
  const counting = new MemoryDisk({
    fate: ({ kind }) => {
      if (kind === 'write') writes++
      return 'done'
    },
  })
  const { replica, recorder } = await lead(counting)
  const before = writes
  for (let i = 0; i < 100; i++) replica.propose(bytes(`p${i}`))
  await eventually('applied', () => recorder.applied.length === 100)
  // At most one more: the log marks its end when it is idle.
  expect(writes - before).toBeLessThanOrEqual(2)
})

test('a proposal beyond the uncommitted bytes is refused with backPressure, and taken again later', async () => {
  const { replica, recorder } = await lead(undefined, { uncommittedBytesMax: 1000 })
  const results = Array.from({ length: 20 }, () => replica.propose(Buffer.alloc(100)).kind)
  // 132 bytes each, with the overhead that the core counts.
  expect(results.filter((kind) => kind === 'accepted').length).toBe(7)
  expect(replica.propose(Buffer.alloc(100))).toMatchObject({ kind: 'refused', reason: 'backPressure' })
  await eventually('the accepted ones are applied', () => recorder.applied.length === 7)
  expect(replica.propose(bytes('x')).kind).toBe('accepted')
})

test('one proposal larger than the uncommitted bytes is taken when nothing waits', async () => {
  const { replica, recorder } = await lead(undefined, { uncommittedBytesMax: 1000 })
  expect(replica.propose(Buffer.alloc(5000)).kind).toBe('accepted')
  expect(replica.propose(bytes('x')).kind).toBe('refused')
  await eventually('applied', () => recorder.applied.length === 1)
})

test('a proposal that no record can hold is thrown back with PROPOSAL_TOO_LARGE', async () => {
  const { replica } = await lead(undefined, { segmentBytesMax: 64 * 1024 })
  expect(() => replica.propose(Buffer.alloc(60 * 1024))).toThrowError(
    expect.objectContaining({ code: 'PROPOSAL_TOO_LARGE' }),
  )
  expect(replica.propose(Buffer.alloc(50 * 1024)).kind).toBe('accepted')
})

test('a failed write stops the node at once: nothing is applied or acknowledged after it', async () => {
  let broken = false
  const disk = new MemoryDisk({ fate: ({ kind }) => (broken && kind === 'write' ? 'EIO' : 'done') })
  const { replica, recorder, fatal } = await lead(disk)
  replica.propose(bytes('durable'))
  await eventually('applied', () => recorder.applied.length === 1)
  broken = true
  replica.propose(bytes('lost'))
  const barrier = replica.readBarrier()
  barrier.catch(() => undefined)
  await eventually('it stopped', () => fatal.length > 0)
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(fatal).toHaveLength(1)
  expect(fatal[0]).toMatchObject({ code: 'WAL_FAILED' })
  expect(recorder.applied).toEqual(['durable'])
  expect(recorder.leads).toBe(false)
  expect(replica.propose(bytes('x')).kind).toBe('refused')
  await expect(replica.readBarrier()).rejects.toMatchObject({ code: 'NOT_LEADER' })
})

test('a state machine that throws stops the node with APPLY_FAILED, and gets nothing more', async () => {
  const { replica, recorder, fatal } = await lead()
  const cause = new InvariantError('a decision can not be taken back')
  recorder.onApply = (text) => {
    if (text === 'p1') throw cause
  }
  for (const text of ['p0', 'p1', 'p2']) replica.propose(bytes(text))
  await eventually('it stopped', () => fatal.length > 0)
  expect(fatal).toEqual([expect.objectContaining({ code: 'APPLY_FAILED', cause })])
  expect(recorder.applied).toEqual(['p0', 'p1'])
})

test('on a full disk new work is refused with diskFull, while decisions use the reserve', async () => {
  const segmentBytesMax = 16 * 1024
  const options = { capacityBytes: 6 * segmentBytesMax }
  const disk = new MemoryDisk(options)
  const { replica, recorder, fatal } = await lead(disk, { segmentBytesMax })
  let refusal: string | undefined
  for (let count = 0; refusal === undefined; count++) {
    const result = replica.propose(Buffer.alloc(1000))
    if (result.kind === 'refused') refusal = result.reason
    else await eventually('applied', () => recorder.applied.length > count)
  }
  expect(refusal).toBe('diskFull')
  const before = recorder.applied.length
  expect(replica.propose(bytes('decision'), { reserve: true }).kind).toBe('accepted')
  await eventually('the decision is applied', () => recorder.applied.length > before)
  expect(fatal).toEqual([])
  options.capacityBytes = Number.POSITIVE_INFINITY
  await eventually('room is back', () => replica.propose(bytes('new')).kind === 'accepted')
})

test('a long replay lets the event loop run in between', async () => {
  const disk = new MemoryDisk()
  const first = await lead(disk, { segmentBytesMax: 1024 * 1024 })
  for (let i = 0; i < 20_000; i++) first.replica.propose(bytes(`p${i}`))
  await eventually('applied', () => first.recorder.applied.length === 20_000)
  await first.replica.close()
  let turns = 0
  const ticking = setInterval(() => turns++, 0)
  const recorder = new Recorder()
  // Each entry costs some microseconds, so that the whole takes many slices.
  recorder.onApply = () => {
    for (const until = performance.now() + 0.005; performance.now() < until; );
  }
  await lead(disk, { segmentBytesMax: 1024 * 1024 }, recorder)
  clearInterval(ticking)
  expect(recorder.appliedAtLeading).toBe(20_000)
  expect(turns).toBeGreaterThan(5)
})

test('a second process on the same directory is refused', async () => {
  const { disk } = await lead()
  await expect(open(disk, {})).rejects.toMatchObject({ code: 'WAL_LOCKED' })
})

test('members that lack this node are refused', async () => {
  const members = membersOn([7001, 7002])
  const base = { network: memoryNetwork(), disk: new MemoryDisk(), directory: '/log' }
  const options = replicaOptions({ ...base, members: [members[1]!], nodeId: members[0]!.nodeId }, () => {})
  await expect(Replica.open(options)).rejects.toThrow(/missing from the members/)
})
