import { beforeEach, expect, test } from 'vitest'
import { parseBranchTicket } from '../../base/index.ts'
import { BRANCH, TestInstance, TXID, ticketOf, txidOf } from './keeper.test-support.ts'

let mail: TestInstance
beforeEach(async () => {
  mail = await TestInstance.start()
  mail.inquirer.start()
})

test('who voted commit and hears nothing asks after a second, and follows the answer', async () => {
  await mail.voted()
  await mail.clock.advance(900)
  expect(mail.asked).toEqual([])
  mail.knowledge = { kind: 'committed' }
  await mail.clock.advance(300)
  expect(mail.asked).toMatchObject([{ txid: TXID, settle: true }])
  expect(mail).toMatchObject({ calls: ['prepare', 'commit'], acks: [BRANCH] })
})

test('while votes are gathered, or nobody leads, it asks again, less and less often', async () => {
  await mail.voted()
  await mail.clock.advance(10_000)
  mail.knowledge = undefined
  await mail.clock.advance(20_000)
  expect(mail.asked.length).toBeGreaterThan(5)
  expect(mail.asked.length).toBeLessThan(9)
  mail.knowledge = { kind: 'aborted', reason: 'presumed', participant: undefined }
  await mail.clock.advance(6_000)
  expect(mail.calls).toEqual(['prepare', 'abort'])
})

test('a transaction that the coordinators forgot leaves a branch nothing to keep', async () => {
  await mail.voted()
  mail.knowledge = { kind: 'forgotten' }
  await mail.clock.advance(1_500)
  expect(mail.calls).toEqual(['prepare', 'abort'])
})

test('P4: after a crash the vote is the same, and the branch is asked about at once', async () => {
  await mail.voted()
  const next = await mail.crash()
  next.prepare()
  expect(next).toMatchObject({ votes: ['commit'], calls: [] })
  next.knowledge = { kind: 'committed' }
  next.inquirer.start()
  await next.settle()
  expect(next).toMatchObject({ calls: ['commit'], acks: [BRANCH] })
})

test('after a crash a vote to abort is still one', async () => {
  mail.onPrepare = () => {
    throw new Error('sold out')
  }
  await mail.voted()
  const next = await mail.crash()
  next.prepare()
  expect(next).toMatchObject({ votes: ['abort'], calls: [] })
})

test('after a crash a branch whose work had failed votes abort, though other work of it had succeeded', async () => {
  await mail.join()
  const failing = mail.keeper.work(parseBranchTicket(ticketOf()), () => {
    throw new Error('sold out')
  })
  await expect(failing).rejects.toThrow('sold out')
  const next = await mail.crash()
  next.prepare()
  await next.settle()
  expect(next).toMatchObject({ votes: ['abort'], calls: [] })
})

test('after a crash a branch that had not voted is prepared like any other', async () => {
  await mail.join()
  const next = await mail.crash()
  next.prepare()
  await next.settle()
  expect(next).toMatchObject({ votes: ['commit'], calls: ['prepare'] })
})

test('P7: a branch that its application left behind is not settled while that may still live, and is afterwards', async () => {
  mail.knowledge = { kind: 'unknown' }
  await mail.join(ticketOf(TXID, BRANCH, 2_000))
  await mail.clock.advance(11_900)
  expect(mail.asked.map(({ settle }) => settle)).toEqual([false, false])
  mail.knowledge = { kind: 'aborted', reason: 'presumed', participant: undefined }
  await mail.clock.advance(5_000)
  expect(mail.asked.at(-1)).toMatchObject({ settle: true })
  expect(mail.calls).toEqual(['abort'])
})

test('P7: so is one of before a crash', async () => {
  await mail.join()
  const next = await mail.crash()
  next.inquirer.start()
  next.knowledge = { kind: 'unknown' }
  await next.clock.advance(39_900)
  expect(next.asked.every(({ settle }) => !settle)).toBe(true)
  next.knowledge = { kind: 'aborted', reason: 'presumed', participant: undefined }
  await next.clock.advance(6_000)
  expect(next.calls).toEqual(['abort'])
})

test('a crash amid the commit handler: the next process calls it again', async () => {
  await mail.voted()
  mail.onOutcome = () => new Promise(() => {})
  mail.decide('commit')
  await mail.settle()
  const next = await mail.crash()
  next.knowledge = { kind: 'committed' }
  next.inquirer.start()
  await next.settle()
  expect(next).toMatchObject({ calls: ['commit'], acks: [BRANCH] })
})

test('what ended is remembered after a crash: PREPARE is refused, decisions are acknowledged, nothing is called', async () => {
  await mail.join()
  mail.decide('abort')
  mail.decide('commit', txidOf(2))
  await mail.settle()
  const next = await mail.crash()
  next.prepare()
  next.decide('abort')
  next.decide('commit', txidOf(2))
  await next.settle()
  expect(next).toMatchObject({ votes: ['abort'], calls: [], acks: [BRANCH, BRANCH] })
})

test('only so many ended branches are remembered, before and after a crash', async () => {
  const small = await TestInstance.start({ options: { endedMax: 2 } })
  for (const number of [1, 2, 3]) small.decide('abort', txidOf(number))
  await small.settle()
  const next = await small.crash({ options: { endedMax: 2 } })
  for (const number of [1, 2, 3]) next.prepare(txidOf(number))
  expect(next.votes).toEqual(['abort', 'abort'])
})

test('the journal stays short, and what is in doubt outlives every rewriting', async () => {
  const busy = await TestInstance.start({ options: { endedMax: 100 }, rewriteRecords: 5_000 })
  await busy.voted()
  for (let round = 1; round <= 40; round++) {
    for (let i = 0; i < 1_000; i++) busy.decide('abort', txidOf(round * 1_000 + i))
    await busy.settle(4)
  }
  expect(busy.acks).toHaveLength(40_000)
  const segments = busy.disk.paths.filter((path) => path.endsWith('.wal'))
  expect(segments[0]).not.toContain('000000000001.wal')
  expect(segments.length).toBeLessThan(6)
  const next = await busy.crash({ options: { endedMax: 100 } })
  next.prepare()
  expect(next.votes).toEqual(['commit'])
  expect(next.keeper.table.openCount).toBe(1)
})
