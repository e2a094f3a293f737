import { expect, test } from 'vitest'
import { Bench, branch, LOCAL, MIXED, newTxid, settle } from './coordinator.test-support.ts'

test('P8: a request that the log never took is refused as NOT_LEADER when the leadership is lost', async () => {
  const bench = await Bench.leading()
  const answer = bench.commit(newTxid())
  // The turn is not over, so nothing was proposed.
  bench.log.follow()
  expect(answer.word).toBe('refused NOT_LEADER')
  await settle()
  expect(bench.log.committed).toHaveLength(0)
})

test('P8: a request that was proposed is refused as OUTCOME_PENDING, and its repeat at the next leader commits when the record was lost', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const txid = newTxid()
  const waiting = [bench.commit(txid), bench.commit(txid)]
  await settle()
  bench.log.follow()
  expect(waiting.map(({ word }) => word)).toEqual(Array(2).fill('refused OUTCOME_PENDING'))
  expect(bench.coordinator.knowledge(txid).kind).toBe('unknown')

  const next = await bench.successor()
  const repeat = next.commit(txid)
  await settle()
  expect(repeat.word).toBe('committed')
})

test('P2: a record that survived its leader decides, and the repeat at the next leader hears that decision', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const txid = newTxid()
  const first = bench.commit(txid)
  await settle()
  bench.log.follow(1)
  expect(first.word).toBe('refused OUTCOME_PENDING')
  const next = await bench.successor()
  const late = next.inquire(txid)
  const repeat = next.commit(txid)
  await settle()
  expect([late.word, repeat.word]).toEqual(['committed', 'committed'])
  expect(next.coordinator.status().committedCount).toBe(1)
})

test('an answer is given once: nothing more comes when the record is applied after the leadership was lost', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const answers = [
    bench.commit(newTxid()),
    bench.abort(newTxid()),
    bench.inquire(newTxid()),
    bench.inquire(newTxid(), false),
  ]
  await settle()
  bench.log.follow(1)
  await settle()
  bench.log.lead()
  await settle()
  expect(answers.map(({ word }) => word)).toEqual([
    'refused OUTCOME_PENDING',
    'refused OUTCOME_PENDING',
    'refused OUTCOME_PENDING',
    'refused NOT_LEADER',
  ])
})

test('P6: a new leader tells every undelivered decision again, at once', async () => {
  const bench = await Bench.leading()
  const committed = newTxid()
  const aborted = newTxid()
  bench.commit(committed, MIXED)
  bench.commit(aborted, MIXED)
  await settle()
  bench.vote(committed, 1)
  bench.vote(committed, 2)
  bench.vote(aborted, 1, 'abort')
  await settle()
  bench.participants.take()
  bench.log.follow()
  await bench.clock.advance(60_000)
  expect(bench.participants.take()).toEqual([])

  const next = await bench.successor()
  expect(next.participants.take().sort()).toEqual(['abort mail', 'abort stock', 'commit mail', 'commit stock'])
})

test('a new leader asks for the votes again and goes on: nothing is aborted only because a leader died', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  const first = bench.commit(txid, MIXED)
  await settle()
  bench.vote(txid, 1)
  await settle()
  bench.log.follow()
  expect(first.word).toBe('refused OUTCOME_PENDING')

  const next = await bench.successor()
  expect(next.participants.take()).toEqual(['prepare mail', 'prepare stock'])
  const repeat = next.commit(txid, MIXED)
  const inquiry = next.inquire(txid)
  await settle()
  expect(inquiry.word).toBe('preparing')
  next.vote(txid, 1)
  next.vote(txid, 2)
  await settle()
  expect(repeat.word).toBe('committed')
  expect(next.participants.take()).toEqual(['commit mail', 'commit stock'])
})

test('a new leader starts the recorded time for the votes anew', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  bench.commit(txid, MIXED, { timeoutMs: 1_000 })
  await bench.clock.advance(900)
  bench.log.follow()
  const next = await bench.successor()
  await next.clock.advance(950)
  expect(next.coordinator.knowledge(txid).kind).toBe('preparing')
  await next.clock.advance(100)
  expect(next.coordinator.knowledge(txid)).toEqual({ kind: 'aborted', reason: 'deadline', participant: 'mail' })
})

test('a leader before any record: the participants ask the next leader and hear aborted, and so does the client', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const txid = newTxid()
  bench.commit(txid, MIXED)
  await settle()
  bench.log.follow()
  const next = await bench.successor()
  const inquiry = next.inquire(txid)
  await settle()
  expect(inquiry.word).toBe('aborted presumed')
  expect(next.commit(txid, MIXED).word).toBe('aborted presumed')
})

test('everyone at once: a coordinator that replays the log knows every outcome and continues what is open', async () => {
  const bench = await Bench.leading()
  const [done, open, gone] = [newTxid(), newTxid(), newTxid()]
  bench.commit(done)
  bench.commit(open, MIXED)
  bench.abort(gone, LOCAL)
  await settle()
  bench.ack(done, 0, 1)
  await bench.clock.advance(200)
  bench.log.follow()

  const next = await bench.successor()
  expect(next.coordinator.digest()).toBe(bench.coordinator.digest())
  expect(next.inquire(done).word).toBe('committed')
  expect(next.inquire(gone).word).toBe('aborted requested')
  const inquiry = next.inquire(open)
  await settle()
  expect(inquiry.word).toBe('preparing')
  expect([...next.coordinator.undelivered()].map(({ txid }) => txid)).toEqual([gone])
})

test('a log that says it does not lead ends the leadership, also before it tells so itself', async () => {
  const bench = await Bench.leading()
  const answer = bench.commit(newTxid())
  bench.log.refuse = 'notLeader'
  await settle()
  expect(answer.word).toBe('refused NOT_LEADER')
  expect(bench.coordinator.isLeading).toBe(false)
})

test('back-pressure: requests wait for room and are answered when there is some', async () => {
  const bench = await Bench.leading()
  bench.log.refuse = 'backPressure'
  const answer = bench.commit(newTxid())
  await bench.clock.advance(500)
  expect(answer.word).toBe('nothing')
  bench.log.refuse = undefined
  await bench.clock.advance(10)
  expect(answer.word).toBe('committed')
})

test('back-pressure that lasts: requests are refused as OVERLOADED and nothing of them is ever proposed', async () => {
  const bench = await Bench.leading()
  bench.log.refuse = 'backPressure'
  const answers = [bench.commit(newTxid()), bench.commit(newTxid(), MIXED), bench.inquire(newTxid())]
  await bench.clock.advance(1_100)
  expect(answers.map(({ word }) => word)).toEqual(Array(3).fill('refused OVERLOADED'))
  bench.log.refuse = undefined
  await bench.clock.advance(60_000)
  expect(bench.log.committed).toHaveLength(0)
  expect(bench.participants.take()).toEqual([])
})

test('a decision about participants that voted is kept through any back-pressure', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  const answer = bench.commit(txid, MIXED)
  await settle()
  bench.log.refuse = 'backPressure'
  bench.vote(txid, 1)
  bench.vote(txid, 2)
  await bench.clock.advance(5_000)
  expect(answer.word).toBe('nothing')
  bench.log.refuse = undefined
  await bench.clock.advance(10)
  expect(answer.word).toBe('committed')
})

test('a full disk refuses new transactions, never a decision', async () => {
  const bench = await Bench.leading()
  const open = newTxid()
  const decided = bench.commit(open, MIXED)
  await settle()
  bench.log.refuse = 'diskFull'
  const refused = bench.commit(newTxid())
  bench.vote(open, 1)
  bench.vote(open, 2)
  const presumed = bench.inquire(newTxid())
  await settle()
  expect([refused.word, decided.word, presumed.word]).toEqual(['refused DISK_FULL', 'committed', 'aborted presumed'])
})

test('a disk that runs low refuses new transactions before they reach the log', async () => {
  const bench = await Bench.leading()
  bench.log.spaceLow = true
  await bench.clock.advance(5_000)
  expect(bench.commit(newTxid()).word).toBe('refused DISK_FULL')
  bench.log.spaceLow = false
  await bench.clock.advance(5_000)
  const answer = bench.commit(newTxid())
  await settle()
  expect(answer.word).toBe('committed')
})

test('draining refuses new transactions, answers old ones, and ends when the last is decided', async () => {
  const bench = await Bench.leading()
  const known = newTxid()
  bench.commit(known)
  await settle()
  const open = newTxid()
  const waiting = bench.commit(open, MIXED)
  await settle()
  let drained = false
  const drain = bench.coordinator.drain().then(() => {
    drained = true
  })
  expect(bench.commit(newTxid()).word).toBe('refused SHUTTING_DOWN')
  const repeat = bench.commit(known)
  await settle()
  expect(repeat.word).toBe('committed')
  expect(drained).toBe(false)
  bench.vote(open, 1)
  bench.vote(open, 2)
  await drain
  expect(waiting.word).toBe('committed')
})

test('close refuses whoever waits, closes the log, and leaves no timer behind', async () => {
  const bench = await Bench.leading()
  const asked = bench.commit(newTxid(), MIXED)
  await settle()
  const queued = bench.commit(newTxid())
  await bench.coordinator.close()
  expect([asked.word, queued.word]).toEqual(['refused OUTCOME_PENDING', 'refused NOT_LEADER'])
  expect(bench.commit(newTxid()).word).toBe('refused SHUTTING_DOWN')
  expect(bench.log.closed).toBe(true)
  expect(bench.clock.timers).toBe(0)
})

test('what is older than the watermark is refused as TXN_TOO_OLD, and an inquiry hears forgotten', async () => {
  const bench = await Bench.leading({ keepMs: 0, keepCount: 0, fenceMs: 0 })
  const old = newTxid(1_700_000_000_000)
  const answer = bench.commit(old)
  await settle()
  bench.ack(old, 0, 1)
  await bench.clock.advance(20_000)
  expect(answer.word).toBe('committed')
  expect(bench.kinds()).toEqual(['commit', 'completed', 'watermark'])
  const older = newTxid(1_600_000_000_000)
  expect([bench.commit(older).word, bench.inquire(older).word]).toEqual(['refused TXN_TOO_OLD', 'forgotten'])
  expect(bench.commit(older, [branch(0, 'flights')]).word).toBe('refused TXN_TOO_OLD')
})

test('a commit whose txid lies more than an hour ahead of the leader’s clock is refused as TXN_TOO_NEW, and leaves nothing behind', async () => {
  const bench = await Bench.leading()
  const nowMs = bench.clock.wallMs()
  const [early, late] = [newTxid(nowMs + 3_600_000), newTxid(nowMs + 3_600_001)]
  const answers = [bench.commit(early), bench.commit(late)]
  await settle()
  expect(answers.map(({ word }) => word)).toEqual(['committed', 'refused TXN_TOO_NEW'])
  expect(bench.coordinator.knowledge(late).kind).toBe('unknown')
})

test('P7: a branch that is prepared under a txid from the future is still aborted when somebody asks', async () => {
  const bench = await Bench.leading()
  const asked = bench.inquire(newTxid(bench.clock.wallMs() + 86_400_000))
  await settle()
  expect(asked.word).toBe('aborted presumed')
})

test('a leader whose wall clock jumps ahead refuses nobody: the watermark stays behind its clients’ clocks', async () => {
  const bench = await Bench.leading({ keepMs: 0, keepCount: 0 })
  const madeMs = bench.clock.wallMs()
  bench.clock.jump(86_400_000)
  const first = newTxid(madeMs)
  bench.commit(first)
  await settle()
  bench.ack(first, 0, 1)
  await bench.clock.advance(30_000)
  expect(bench.kinds()).not.toContain('watermark')
  const second = bench.commit(newTxid(madeMs))
  await settle()
  expect(second.word).toBe('committed')
  await bench.clock.advance(60_000)
  expect(bench.kinds()).toContain('watermark')
})

test('P7: a database that is down, with its decisions undelivered, does not keep the locks of others', async () => {
  const bench = await Bench.leading({ undeliveredMax: 1 })
  bench.commit(newTxid())
  await settle()
  expect(bench.commit(newTxid()).word).toBe('refused OVERLOADED')
  const asked = bench.inquire(newTxid())
  const told = bench.abort(newTxid(), LOCAL)
  await settle()
  expect([asked.word, told.word]).toEqual(['aborted presumed', 'aborted requested'])
})
