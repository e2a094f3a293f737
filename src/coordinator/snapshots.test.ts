import { expect, test } from 'vitest'
import { InvariantError, Prng } from '../base/index.ts'
import { type Answer, Bench, branch, LOCAL, MIXED, newTxid, settle } from './coordinator.test-support.ts'
import { MemoryLog } from './memory-log.test-support.ts'

/** Another coordinator of the group, whose log begins at `other`'s snapshot. It follows. */
async function beganAtSnapshotOf(other: Bench): Promise<Bench> {
  const bench = new Bench({}, new MemoryLog(other.log.committed))
  await bench.coordinator.start()
  bench.log.install(other.log.snapshot())
  return bench
}

function termAfter(bench: Bench): number {
  return bench.coordinator.status().log.raft.currentTerm + 1
}

test('a coordinator that began at a snapshot knows what the one knows that applied every record', async () => {
  const first = await Bench.leading()
  const txids = [newTxid(), newTxid(), newTxid()]
  first.commit(txids[0]!)
  first.abort(txids[1]!)
  first.commit(txids[2]!, MIXED)
  await settle()
  first.ack(txids[0]!, 0, 1)
  await first.clock.advance(500)

  const second = await beganAtSnapshotOf(first)
  expect(second.coordinator.digest()).toBe(first.coordinator.digest())
  const { log: firstLog, leading, term, leader, openCount, ...counts } = first.coordinator.status()
  expect(second.coordinator.status()).toMatchObject(counts)
  expect(second.coordinator.list({ limit: 10 })).toEqual(first.coordinator.list({ limit: 10 }))
  for (const txid of txids) {
    expect(second.coordinator.knowledge(txid)).toEqual(first.coordinator.knowledge(txid))
    expect(second.coordinator.transaction(txid)).toEqual(first.coordinator.transaction(txid))
  }
})

test('P6: a leader that began at a snapshot asks for the votes and tells the decisions that were open in it', async () => {
  const first = await Bench.leading()
  const [asked, decided] = [newTxid(), newTxid()]
  first.commit(asked, MIXED)
  first.commit(decided, [branch(0, 'flights'), branch(1, 'mail', 'service', 'commit')])
  await settle()
  const second = await beganAtSnapshotOf(first)
  expect(second.participants.take()).toEqual([])
  first.log.follow()
  second.log.lead(termAfter(first))
  expect(second.participants.take().sort()).toEqual(['commit mail', 'prepare mail', 'prepare stock'])
  second.vote(asked, 1)
  second.vote(asked, 2)
  await settle()
  expect(second.coordinator.knowledge(asked)).toEqual({ kind: 'committed' })
  expect([...second.coordinator.undelivered()].map(({ txid }) => txid).sort()).toEqual([asked, decided].sort())
})

test('exactly once across a snapshot: what is asked again with the same txid is answered, and decided no second time', async () => {
  const first = await Bench.leading()
  const [committed, aborted] = [newTxid(), newTxid()]
  first.commit(committed)
  first.abort(aborted)
  await settle()
  first.ack(committed, 0, 1)
  await first.clock.advance(500)
  const second = await beganAtSnapshotOf(first)
  second.log.lead(termAfter(first))
  const digest = second.coordinator.digest()
  const answers = [
    second.commit(committed),
    second.abort(committed),
    second.inquire(committed),
    second.commit(aborted),
    second.abort(aborted),
  ]
  await settle()
  expect(answers.map(({ word }) => word)).toEqual([
    'committed',
    'committed',
    'committed',
    'aborted requested',
    'aborted requested',
  ])
  const otherBranches = second.commit(committed, [branch(0, 'others')])
  await settle()
  expect(otherBranches.word).toBe('refused TXN_OTHER_BRANCHES')
  expect(second.coordinator.digest()).toBe(digest)
  expect(second.coordinator.status()).toMatchObject({ committedCount: 1, abortedCount: 1 })
})

test('a transaction that is older than the watermark of the snapshot is too old for a leader that began at it', async () => {
  const first = await Bench.leading()
  const [old, later] = [newTxid(1_750_000_000_000 - 10_000_000), newTxid()]
  first.commit(later)
  await settle()
  first.ack(later, 0, 1)
  await first.clock.advance(500)
  await first.clock.advance(10_000_000)
  first.commit(newTxid(1_750_000_000_000 + 10_000_000))
  await first.clock.advance(10_000)
  expect(first.coordinator.status().watermarkMs).toBeGreaterThan(0)
  const second = await beganAtSnapshotOf(first)
  second.log.lead(termAfter(first))
  expect(second.commit(old).word).toBe('refused TXN_TOO_OLD')
  expect(second.coordinator.evidenceBoundMs()).toBe(first.coordinator.evidenceBoundMs())
})

test('a snapshot does not show what was applied while it was written', async () => {
  const first = await Bench.leading()
  first.commit(newTxid(), MIXED)
  await settle()
  const digest = first.coordinator.digest()
  const snapshot = first.log.snapshot()
  const later = newTxid()
  first.commit(later)
  await settle()
  const second = new Bench({}, new MemoryLog(first.log.committed))
  await second.coordinator.start()
  second.log.install(snapshot)
  expect(second.coordinator.digest()).toBe(digest)
  expect(second.coordinator.knowledge(later)).toEqual({ kind: 'unknown' })
  second.log.lead(termAfter(first))
  expect(second.coordinator.knowledge(later)).toEqual({ kind: 'committed' })
  expect(second.coordinator.digest()).toBe(first.coordinator.digest())
})

test('a leader never restores, neither from the beginning nor when it began as a follower', async () => {
  const first = await Bench.leading()
  first.commit(newTxid())
  await settle()
  const snapshot = first.log.snapshot()
  expect(() => first.log.install(snapshot)).toThrow(InvariantError)

  const second = await beganAtSnapshotOf(first)
  const restore = second.log.handler!.restore()
  for (const piece of first.log.snapshot().pieces()) restore.add(piece)
  second.log.lead(termAfter(first))
  expect(() => restore.finish()).toThrow(InvariantError)
})

/** Every answer that any coordinator of the group gave for a transaction. */
type Asked = { readonly txid: ReturnType<typeof newTxid>; readonly answer: Answer }

test('P2, P8: over random requests to leaders that come and go, half of them begun at snapshots, nobody hears two outcomes', async () => {
  for (let seed = 1; seed <= 150; seed++) await runSchedule(seed)
})

async function runSchedule(seed: number): Promise<void> {
  const prng = new Prng(seed)
  let bench = await Bench.leading()
  const txids = Array.from({ length: 6 }, () => newTxid())
  const asked: Asked[] = []
  for (let step = 0; step < 50; step++) {
    const txid = prng.pick(txids)
    const branches = txids.indexOf(txid) % 2 === 0 ? LOCAL : MIXED
    const action = prng.below(10)
    if (action < 3) asked.push({ txid, answer: bench.commit(txid, branches, { timeoutMs: 200 }) })
    else if (action === 3) asked.push({ txid, answer: bench.abort(txid) })
    else if (action === 4) asked.push({ txid, answer: bench.inquire(txid) })
    else if (action < 7) bench.vote(txid, prng.between(1, 2), prng.chance(0.1) ? 'abort' : 'commit')
    else if (action === 7) bench.ack(txid, prng.between(0, 2))
    else if (action === 8) await bench.clock.advance(prng.below(150))
    else bench = await nextLeader(bench, prng)
    if (prng.chance(0.5)) await settle()
  }
  bench.log.commit()
  await bench.clock.advance(2_000)
  for (const { txid, answer } of asked) {
    expect(answer.replies, `seed ${seed}`).toHaveLength(1)
    const reply = answer.replies[0]!
    if (reply.kind === 'refused' || reply.outcome.kind === 'preparing') continue
    expect(reply.outcome, `seed ${seed}, ${txid}`).toEqual(bench.coordinator.knowledge(txid))
  }
  const replayed = new Bench({}, new MemoryLog(bench.log.committed))
  await replayed.coordinator.start()
  replayed.log.lead()
  expect(bench.coordinator.digest(), `seed ${seed}`).toBe(replayed.coordinator.digest())
}

/** The old leader falls back to following; the next one began at its snapshot, or applied every record. */
async function nextLeader(bench: Bench, prng: Prng): Promise<Bench> {
  bench.log.follow(prng.below(3))
  const next = prng.chance(0.5) ? await beganAtSnapshotOf(bench) : await bench.successor()
  next.log.lead(termAfter(bench))
  return next
}
