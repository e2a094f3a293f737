import { beforeEach, expect, test } from 'vitest'
import { BranchOverError, ParticipantBusyError, WrongTicketError } from './errors.ts'
import { BRANCH, parse, TestInstance, TXID, ticketOf, txidOf } from './keeper.test-support.ts'

let mail: TestInstance
beforeEach(async () => {
  mail = await TestInstance.start()
})

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  )
}

test('a branch that was joined votes commit when prepare returns, and is committed when it is told', async () => {
  await mail.voted()
  mail.decide('commit')
  await mail.settle()
  expect(mail).toMatchObject({ votes: ['commit'], calls: ['prepare', 'commit'], acks: [BRANCH] })
})

test('a branch that another instance holds is left to it: PREPARE has no answer', async () => {
  mail.prepare()
  await mail.settle(100)
  expect(mail).toMatchObject({ votes: [], calls: [] })
})

test('P4: a vote is on disk before it is sent', async () => {
  await mail.join()
  const { note } = mail.journal
  let onDisk: (() => void) | undefined
  mail.journal.note = () =>
    new Promise((resolve) => {
      onDisk = resolve
    })
  mail.prepare()
  await mail.settle()
  expect(mail).toMatchObject({ votes: [], calls: ['prepare'] })
  mail.journal.note = note
  onDisk?.()
  await mail.settle()
  expect(mail.votes).toEqual(['commit'])
})

test('PREPARE comes twice: the handler is called once and the same vote comes back', async () => {
  await mail.voted()
  mail.prepare()
  mail.prepare()
  await mail.settle()
  expect(mail).toMatchObject({ votes: ['commit', 'commit', 'commit'], calls: ['prepare'] })
})

test('PREPARE comes again while the first is at work: one vote, to whoever asked last', async () => {
  await mail.join()
  let done: (() => void) | undefined
  mail.onPrepare = () =>
    new Promise<void>((resolve) => {
      done = resolve
    })
  mail.prepare()
  await mail.settle()
  mail.prepare()
  await mail.settle()
  done?.()
  await mail.settle()
  expect(mail).toMatchObject({ votes: ['commit'], calls: ['prepare'] })
})

test('a prepare that throws votes abort, and the abort handler waits for the decision', async () => {
  mail.onPrepare = () => {
    throw new Error('sold out')
  }
  await mail.voted()
  expect(mail).toMatchObject({ votes: ['abort'], calls: ['prepare'] })
  mail.prepare()
  expect(mail.votes).toEqual(['abort', 'abort'])
  mail.decide('abort')
  await mail.settle()
  expect(mail).toMatchObject({ calls: ['prepare', 'abort'], acks: [BRANCH] })
})

test('a prepare that returns anything else votes abort: a promise is not made by mistake', async () => {
  mail.onPrepare = () => false
  await mail.voted()
  expect(mail.votes).toEqual(['abort'])
  expect(mail.errors).toHaveLength(1)
})

test('a reader votes readOnly and hears no more', async () => {
  mail.onPrepare = () => 'readOnly'
  await mail.voted()
  mail.prepare()
  mail.decide('abort')
  await mail.settle(20_000)
  expect(mail).toMatchObject({ votes: ['readOnly', 'readOnly'], calls: ['prepare'], acks: [BRANCH], asked: [] })
})

test('a decision comes twice: the handler is called once, and both are acknowledged', async () => {
  await mail.voted()
  mail.decide('commit')
  mail.decide('commit')
  await mail.settle()
  mail.decide('commit')
  await mail.settle()
  expect(mail).toMatchObject({ calls: ['prepare', 'commit'], acks: [BRANCH, BRANCH] })
})

test('a late PREPARE after an abort is refused', async () => {
  await mail.join()
  mail.decide('abort')
  await mail.settle()
  mail.prepare()
  await mail.settle()
  expect(mail).toMatchObject({ votes: ['abort'], calls: ['abort'] })
})

test('a late call after an abort is refused', async () => {
  mail.decide('abort')
  await mail.settle()
  expect(await failure(mail.join())).toBeInstanceOf(BranchOverError)
})

test('a call after the vote is refused, and one before is taken again', async () => {
  const first = await mail.join()
  expect(await mail.join()).toEqual(first)
  mail.prepare()
  await mail.settle()
  expect(await failure(mail.join())).toBeInstanceOf(BranchOverError)
})

test('a decision waits for work that is under way, so that nothing is set aside after it', async () => {
  let done: (() => void) | undefined
  const work = mail.keeper.work(parse(ticketOf()), async () => {
    await new Promise<void>((resolve) => {
      done = resolve
    })
    mail.calls.push('set aside')
  })
  await mail.settle()
  mail.decide('abort')
  await mail.settle()
  expect(mail.calls).toEqual([])
  expect(await failure(mail.join())).toBeInstanceOf(BranchOverError)
  done?.()
  await work
  await mail.settle()
  expect(mail).toMatchObject({ calls: ['set aside', 'abort'], acks: [BRANCH] })
})

test('PREPARE waits for every call that is at work, and lets no further one begin', async () => {
  const done: (() => void)[] = []
  const slow = () => mail.keeper.work(parse(ticketOf()), () => new Promise<void>((resolve) => void done.push(resolve)))
  const calls = [slow(), slow()]
  await mail.settle()
  mail.prepare()
  await mail.settle()
  expect(await failure(mail.join())).toBeInstanceOf(BranchOverError)
  done[0]?.()
  await mail.settle()
  expect(mail).toMatchObject({ calls: [], votes: [] })
  done[1]?.()
  await Promise.all(calls)
  await mail.settle()
  expect(mail).toMatchObject({ calls: ['prepare'], votes: ['commit'] })
})

test('a branch whose transaction ended before its join was on disk does no work', async () => {
  const work = mail.keeper.work(parse(ticketOf()), () => void mail.calls.push('set aside'))
  mail.decide('abort')
  expect(await failure(work)).toBeInstanceOf(BranchOverError)
  await mail.settle()
  expect(mail).toMatchObject({ calls: ['abort'], acks: [BRANCH] })
})

test('work that throws spoils the branch: it votes abort, whatever prepare would say', async () => {
  const broken = new Error('out of stock')
  const work = mail.keeper.work(parse(ticketOf()), () => {
    throw broken
  })
  expect(await failure(work)).toBe(broken)
  mail.prepare()
  await mail.settle()
  expect(mail).toMatchObject({ calls: [], votes: ['abort'] })
})

test('an abort that comes while prepare is at work waits for it, and no vote is given', async () => {
  await mail.join()
  let done: (() => void) | undefined
  mail.onPrepare = () =>
    new Promise<void>((resolve) => {
      done = resolve
    })
  mail.prepare()
  await mail.settle()
  mail.decide('abort')
  await mail.settle()
  expect(mail.calls).toEqual(['prepare'])
  done?.()
  await mail.settle()
  expect(mail).toMatchObject({ calls: ['prepare', 'abort'], votes: [], acks: [BRANCH] })
})

test('any instance carries out the decision of a branch that it never held', async () => {
  mail.decide('commit')
  await mail.settle()
  expect(mail).toMatchObject({ calls: ['commit'], acks: [BRANCH] })
})

test('a handler that fails is called again until it succeeds; only then is the decision acknowledged', async () => {
  await mail.voted()
  let failures = 3
  mail.onOutcome = () => {
    if (failures-- > 0) throw new Error('the database is away')
  }
  mail.decide('commit')
  await mail.settle(10)
  expect(mail.acks).toEqual([])
  await mail.clock.advance(1_000)
  expect(mail).toMatchObject({ calls: ['prepare', 'commit', 'commit', 'commit', 'commit'], acks: [BRANCH] })
})

test('a decision that contradicts an earlier one is not carried out', async () => {
  await mail.voted()
  mail.decide('commit')
  await mail.settle()
  mail.decide('abort')
  await mail.settle()
  expect(mail).toMatchObject({ calls: ['prepare', 'commit'], acks: [BRANCH] })
  expect(mail.errors).toHaveLength(1)
})

test('a slow handler of one branch keeps no other from voting', async () => {
  const other = txidOf(2)
  await mail.join()
  await mail.join(ticketOf(other))
  mail.onPrepare = ({ txid }) => (txid === TXID ? new Promise(() => {}) : undefined)
  mail.prepare()
  mail.prepare(other)
  await mail.settle()
  expect(mail.votes).toEqual(['commit'])
})

test('calls for another participant or another fleet are refused', async () => {
  const ticket = parse(ticketOf())
  const wrong = [
    { ...ticket, participant: 'payments' },
    { ...ticket, cluster: parse(ticketOf().replace('trips', 'other')).cluster },
  ]
  for (const each of wrong) expect(await failure(mail.keeper.work(each, () => {}))).toBeInstanceOf(WrongTicketError)
})

test('an instance with too many open branches takes no more, and drops decisions that another one can have', async () => {
  const small = await TestInstance.start({ options: { openMax: 1 } })
  await small.join()
  expect(await failure(small.join(ticketOf(txidOf(2))))).toBeInstanceOf(ParticipantBusyError)
  small.decide('commit', txidOf(3))
  await small.settle()
  expect(small.acks).toEqual([])
})

test('after a failed write nothing is promised any more', async () => {
  await mail.join()
  mail.disk.kill()
  mail.prepare()
  await mail.settle()
  expect(mail.votes).toEqual([])
  expect(mail.failure).toBeInstanceOf(Error)
  expect(await failure(mail.join(ticketOf(txidOf(2))))).toBeInstanceOf(Error)
})

test('close waits for the handlers that are at work, and takes nothing new', async () => {
  await mail.join()
  let done: (() => void) | undefined
  mail.onPrepare = () =>
    new Promise<void>((resolve) => {
      done = resolve
    })
  mail.prepare()
  await mail.settle()
  let closed = false
  const closing = mail.keeper.close().then(() => {
    closed = true
  })
  await mail.settle()
  expect(closed).toBe(false)
  expect(await failure(mail.join(ticketOf(txidOf(2))))).toBeInstanceOf(ParticipantBusyError)
  done?.()
  await mail.settle()
  await closing
  expect(mail.votes).toEqual(['commit'])
})
