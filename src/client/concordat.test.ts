import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  Concordat,
  OutcomeUnknownError,
  type Transaction,
  TransactionAbortedError,
  TransactionEndedError,
} from './index.ts'
import { refuse, ScriptedPort } from './scripted-port.support.ts'
import { book, noMariadb, Trips } from './trips.support.ts'

let trips: Trips
let port: ScriptedPort
let concordat: Concordat
let number = 0
let who = ''

beforeAll(async () => {
  trips = await Trips.start()
})
afterAll(() => trips?.close())
beforeEach(() => {
  number += 1
  who = `guest-${number}`
  port = new ScriptedPort()
  concordat = Concordat.over(port, { closeTimeoutMs: 500 })
  return () => concordat.close()
})

/** Books in both PostgreSQL databases. */
async function bookBoth(tx: Transaction): Promise<void> {
  await book(await tx.enlist(trips.flights), who)
  await book(await tx.enlist(trips.payments), who)
}

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  )
}

async function aborted(work: Promise<unknown>): Promise<TransactionAbortedError> {
  const error = await failure(work)
  expect(error).toBeInstanceOf(TransactionAbortedError)
  return error as TransactionAbortedError
}

describe('fast paths', () => {
  test('two writers are prepared, decided once, committed and acknowledged', async () => {
    const result = await concordat.transaction(async (tx) => {
      await bookBoth(tx)
      return tx.txid
    })
    expect(await trips.bookings(who)).toEqual([1, 1])
    expect(await trips.prepared()).toBe(0)
    expect(port.commits).toHaveLength(1)
    expect(port.commits[0]).toMatchObject({
      txid: result,
      branches: [
        { branch: 0, kind: 'local', participant: 'flights', vote: 'commit', evidence: expect.stringMatching(/^\d+$/) },
        { branch: 1, kind: 'local', participant: 'payments', vote: 'commit' },
      ],
    })
    expect(port.acks).toEqual([{ txid: result, branches: [0, 1] }])
  })

  test('no branch asks nobody and returns the value of the callback', async () => {
    expect(await concordat.transaction(() => 7)).toBe(7)
    expect(port.commits).toEqual([])
  })

  test('one branch commits in one phase without a coordinator', async () => {
    await concordat.transaction(async (tx) => book(await tx.enlist(trips.flights), who))
    expect(await trips.bookings(who)).toEqual([1, 0])
    expect(port.commits).toEqual([])
  })

  test('branches that only read ask no coordinator', async () => {
    await concordat.transaction(async (tx) => {
      await (await tx.enlist(trips.flights)).query('SELECT 1')
      await (await tx.enlist(trips.payments)).query('SELECT 1')
    })
    expect(port.commits).toEqual([])
    expect(await trips.prepared()).toBe(0)
  })

  test('a reader beside a writer is left out of the decision', async () => {
    await concordat.transaction(async (tx) => {
      await (await tx.enlist(trips.flights)).query('SELECT 1')
      await book(await tx.enlist(trips.payments), who)
    })
    expect(port.commits[0]?.branches.map(({ participant }) => participant)).toEqual(['payments'])
    expect(await trips.bookings(who)).toEqual([0, 1])
  })

  test.skipIf(noMariadb)('PostgreSQL and MariaDB commit together', async () => {
    await concordat.transaction(async (tx) => {
      const [pg, my] = await Promise.all([tx.enlist(trips.flights), tx.enlist(trips.hotels!)])
      await Promise.all([book(pg, who), my.query('INSERT INTO bookings VALUES (?)', [who])])
    })
    expect(await trips.bookings(who)).toEqual([1, 0])
    expect(await trips.nights(who)).toBe(1)
    expect(await trips.prepared()).toBe(0)
  })
})

describe('what aborts', () => {
  test('a throw rolls every branch back and comes out unchanged', async () => {
    const mine = new Error('no money')
    const work = concordat.transaction(async (tx) => {
      await bookBoth(tx)
      throw mine
    })
    expect(await failure(work)).toBe(mine)
    expect(await trips.bookings(who)).toEqual([0, 0])
    expect(port.commits).toEqual([])
  })

  test('an error that the callback swallows poisons its branch and aborts all', async () => {
    const error = await aborted(
      concordat.transaction(async (tx) => {
        await bookBoth(tx)
        await (await tx.enlist(trips.flights)).query('SELECT nonsense').catch(() => {})
      }),
    )
    expect(error).toMatchObject({ code: 'TXN_ABORTED', reason: 'votedAbort', participant: 'flights', retryable: false })
    expect((error.cause as Error).message).toContain('nonsense')
    expect(await trips.bookings(who)).toEqual([0, 0])
    expect(port.commits).toEqual([])
  })

  test('a swallowed error aborts a lone branch too', async () => {
    const error = await aborted(
      concordat.transaction(async (tx) => {
        const pg = await tx.enlist(trips.flights)
        await book(pg, who)
        await pg.query('SELECT nonsense').catch(() => {})
      }),
    )
    expect(error.participant).toBe('flights')
    expect(await trips.bookings(who)).toEqual([0, 0])
  })

  test.skipIf(noMariadb)('a poisoned MariaDB branch takes the PostgreSQL branch with it', async () => {
    const error = await aborted(
      concordat.transaction(async (tx) => {
        await book(await tx.enlist(trips.flights), who)
        const my = await tx.enlist(trips.hotels!)
        await my.query('INSERT INTO bookings VALUES (?)', [who])
        await my.query('INSERT INTO bookings VALUES (?)', [who]).catch(() => {})
      }),
    )
    expect(error.participant).toBe('hotels')
    expect([await trips.bookings(who), await trips.nights(who)]).toEqual([[0, 0], 0])
    expect(await trips.prepared()).toBe(0)
  })

  test('abort() aborts even when the callback catches what it throws', async () => {
    const cause = new Error('seat taken')
    const error = await aborted(
      concordat.transaction(async (tx) => {
        await bookBoth(tx)
        try {
          tx.abort(cause)
        } catch {}
      }),
    )
    expect(error).toMatchObject({ reason: 'requested', cause })
    expect(await trips.bookings(who)).toEqual([0, 0])
  })

  test('a timeout ends the call although the callback never ends', async () => {
    let reason: unknown
    const error = await aborted(
      concordat.transaction({ timeoutMs: 150 }, async (tx) => {
        await bookBoth(tx)
        tx.signal.addEventListener('abort', () => {
          reason = tx.signal.reason
        })
        await new Promise(() => {})
      }),
    )
    expect(error).toMatchObject({ reason: 'deadline', retryable: true })
    expect(reason).toBe(error)
    expect(await trips.bookings(who)).toEqual([0, 0])
  })

  test("the caller's signal aborts before the commit request, also when it fired already", async () => {
    const controller = new AbortController()
    const error = await aborted(
      concordat.transaction({ signal: controller.signal }, async (tx) => {
        await bookBoth(tx)
        controller.abort(new Error('gone'))
      }),
    )
    expect(error).toMatchObject({ reason: 'cancelled', cause: new Error('gone') })
    let isRun = false
    const late = await aborted(
      concordat.transaction({ signal: controller.signal }, () => {
        isRun = true
      }),
    )
    expect([late.reason, isRun]).toEqual(['cancelled', false])
    expect(await trips.bookings(who)).toEqual([0, 0])
  })

  test('the signal changes nothing once the decision was asked for', async () => {
    const controller = new AbortController()
    port.onCommit = (_request, decide) => {
      controller.abort()
      return decide()
    }
    await concordat.transaction({ signal: controller.signal }, bookBoth)
    expect(await trips.bookings(who)).toEqual([1, 1])
  })

  test('a database out of reach aborts the others, even if the callback goes on', async () => {
    const { postgres } = await import('../resources/index.ts')
    const { default: pg } = await import('pg')
    const pool = new pg.Pool({ connectionString: 'postgres://postgres@127.0.0.1:1/none' })
    const gone = postgres(pool, { name: 'gone' })
    const error = await failure(
      concordat.transaction(async (tx) => {
        await book(await tx.enlist(trips.flights), who)
        await tx.enlist(gone).catch(() => {})
      }),
    )
    expect(error).toMatchObject({ code: 'RESOURCE_UNAVAILABLE', retryable: true })
    expect(await trips.bookings(who)).toEqual([0, 0])
  })
})

describe('careless callbacks', () => {
  test('the same resource gives the same client, also concurrently', async () => {
    await concordat.transaction(async (tx) => {
      const [first, second] = await Promise.all([tx.enlist(trips.flights), tx.enlist(trips.flights)])
      expect(second).toBe(first)
    })
  })

  test('nothing can be enlisted, and no session used, after the end', async () => {
    const kept: { tx?: Transaction; session?: Awaited<ReturnType<typeof trips.flights.begin>>['session'] } = {}
    await concordat.transaction(async (tx) => {
      kept.tx = tx
      kept.session = await tx.enlist(trips.flights)
    })
    expect(await failure(kept.tx!.enlist(trips.flights))).toBeInstanceOf(TransactionEndedError)
    expect(await failure(book(kept.session!, who))).toMatchObject({ code: 'BRANCH_ENDED' })
  })

  test('an enlistment that nobody awaits is waited for and does no harm', async () => {
    await concordat.transaction(async (tx) => {
      void tx.enlist(trips.payments)
      await book(await tx.enlist(trips.flights), who)
    })
    expect(await trips.bookings(who)).toEqual([1, 0])
  })
})

test('a failing statement that nobody awaits aborts the whole transaction', async () => {
  const work = concordat.transaction(async (tx) => {
    const pg = await tx.enlist(trips.flights)
    await book(await tx.enlist(trips.payments), who)
    pg.query('SELECT nonsense').catch(() => {})
  })
  await aborted(work)
  expect(await trips.bookings(who)).toEqual([0, 0])
})

describe('what the coordinators answer', () => {
  test('aborted: the branches are rolled back and acknowledged', async () => {
    port.onCommit = ({ txid }) => port.decide(txid, { kind: 'aborted', reason: 'presumed', participant: undefined })
    const error = await aborted(concordat.transaction(bookBoth))
    expect(error).toMatchObject({ reason: 'presumed', retryable: true })
    expect(await trips.bookings(who)).toEqual([0, 0])
    expect(await trips.prepared()).toBe(0)
    expect(port.acks[0]?.branches).toEqual([0, 1])
  })

  test('refused for good: everything is rolled back', async () => {
    port.onCommit = () => refuse('TXN_TOO_OLD')
    const error = await aborted(concordat.transaction(bookBoth))
    expect(error).toMatchObject({ reason: 'refused', retryable: false, cause: { refusal: 'TXN_TOO_OLD' } })
    expect(await trips.prepared()).toBe(0)
    expect(port.aborts, 'a rollback that works needs no record').toEqual([])
  })

  test('no coordinator was asked: everything is rolled back, and it is safe to run it again', async () => {
    port.onCommit = () => refuse('NOT_LEADER', true)
    const error = await aborted(concordat.transaction(bookBoth))
    expect(error).toMatchObject({ reason: 'unavailable', retryable: true, cause: { code: 'COORDINATOR_UNAVAILABLE' } })
    expect(await trips.bookings(who)).toEqual([0, 0])
    expect(await trips.prepared()).toBe(0)
  })

  test.each([['committed', 1] as const, ['aborted', 0] as const])(
    'P8: a lost answer is unknown to the caller, and the branches follow when the outcome turns out %s',
    async (kind, rows) => {
      let answer: () => void = () => {}
      const known = new Promise<void>((resolve) => {
        answer = resolve
      })
      port.onCommit = (_request, decide) => {
        if (kind === 'committed') decide()
        return refuse('OUTCOME_PENDING', true)
      }
      port.onInquire = async (_request, reply) => {
        await known
        return reply()
      }
      const error = (await failure(concordat.transaction(bookBoth))) as OutcomeUnknownError
      expect(error).toBeInstanceOf(OutcomeUnknownError)
      expect(await trips.prepared(), 'nobody guessed').toBe(2)
      answer()
      await port.acknowledged(2)
      expect(await trips.bookings(who)).toEqual([rows, rows])
      expect(await concordat.outcome(error.txid)).toBe(kind)
    },
  )

  test.skipIf(noMariadb)('in doubt, a MariaDB branch is handed over, so that a resolver can finish it', async () => {
    port.onCommit = (_request, decide) => {
      decide()
      return refuse('OUTCOME_PENDING', true)
    }
    port.onInquire = () => refuse('NOT_LEADER', true)
    const error = (await failure(
      concordat.transaction(async (tx) => {
        const my = await tx.enlist(trips.hotels!)
        await my.query('INSERT INTO bookings VALUES (?)', [who])
        await book(await tx.enlist(trips.flights), who)
      }),
    )) as OutcomeUnknownError
    const settle = (branch: number) => ({ cluster: port.cluster, txid: error.txid, branch: branch as never })
    await expect.poll(() => trips.hotels!.inDoubt.commit(settle(0))).toEqual({ kind: 'done' })
    expect(await trips.flights.inDoubt.commit(settle(1))).toEqual({ kind: 'done' })
    expect(await trips.nights(who)).toBe(1)
  })
})

test('a database that crashes after the decision is finished in the background, and the call succeeds', async () => {
  port.onCommit = async (_request, decide) => {
    await trips.server.kill()
    return decide()
  }
  await concordat.transaction(bookBoth)
  expect(port.acks).toEqual([])
  await trips.server.restart()
  await port.acknowledged(2)
  // The application's pool may still hold connections that the crash broke.
  await expect.poll(() => trips.bookings(who)).toEqual([1, 1])
  await expect.poll(() => trips.prepared()).toBe(0)
})
