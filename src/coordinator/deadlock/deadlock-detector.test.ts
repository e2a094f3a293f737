import { beforeEach, describe, expect, test } from 'vitest'
import { parseBranchId, type Txid } from '../../base/index.ts'
import { TXIDS } from '../../base/txids.support.ts'
import type { LockWait } from '../../resources/index.ts'
import type { WaitingTransaction } from '../../transport/index.ts'
import { silentLogger } from '../logger.ts'
import { VirtualClock } from '../virtual-clock.test-support.ts'
import { circlesOf, type Edge, edgesOf } from './circles.ts'
import { DeadlockDetector, type Verdict } from './index.ts'

const [OLD, YOUNG, THIRD] = TXIDS as [Txid, Txid, Txid]

/** A database whose waits the test writes down. */
class Database {
  waits: readonly LockWait[] = []
  asked: (readonly string[])[] = []
  cancelled: string[] = []
  failure: Error | undefined
  /** Each look sees other waits of the same sessions: locks are granted, and the next ones waited for. */
  isMoving = false
  readonly lockWaits = {
    list: async (sessions: readonly string[]) => {
      this.asked.push(sessions)
      if (this.failure !== undefined) throw this.failure
      return this.isMoving
        ? this.waits.map((each) => ({ ...each, wait: `${each.wait}${this.asked.length}` }))
        : this.waits
    },
    cancel: async ({ session }: LockWait) => {
      this.cancelled.push(session)
      return true
    },
  }
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

let clock: VirtualClock
let north: Database
let south: Database
let detector: DeadlockDetector
let verdicts: Verdict[]
const application = { condemn: (verdict: Verdict) => verdicts.push(verdict) > 0 }

beforeEach(() => {
  clock = new VirtualClock()
  ;[north, south] = [new Database('north'), new Database('south')]
  verdicts = []
  detector = new DeadlockDetector({ resources: [north, south], clock, logger: silentLogger })
})

/** A transaction with a session in each database, and the statements that wait there. */
function waiting(
  txid: Txid,
  [northSession, southSession]: readonly [string, string],
  [inNorth, inSouth]: readonly [number, number],
  isDying = false,
): WaitingTransaction {
  const branches = [
    { branch: parseBranchId(0), participant: 'north', session: northSession, statement: inNorth },
    { branch: parseBranchId(1), participant: 'south', session: southSession, statement: inSouth },
  ]
  return { txid, isDying, branches }
}

/** OLD waits in the south for YOUNG, and YOUNG in the north for OLD. */
const BOTH = [waiting(OLD, ['1', '2'], [0, 2]), waiting(YOUNG, ['3', '4'], [2, 0])] as const

function close(): void {
  north.waits = [{ session: '3', wait: 'a', blockers: ['1'] }]
  south.waits = [{ session: '2', wait: 'b', blockers: ['4'] }]
}

/** Time goes on, and every tenth of a second the application repeats what it said. */
async function pass(tenths: number, said: readonly WaitingTransaction[] = BOTH): Promise<void> {
  for (let tenth = 0; tenth < tenths; tenth++) {
    detector.waiting(application, said)
    await clock.advance(100)
  }
}

describe('the detector', () => {
  test('condemns the younger when two looks have seen the circle and both were reported again', async () => {
    close()
    await pass(10)
    expect(verdicts).toEqual([
      {
        txid: YOUNG,
        branch: 0,
        statement: 2,
        circle: expect.stringMatching(
          new RegExp(`${OLD} waits for ${YOUNG} in "south"|${YOUNG} waits for ${OLD} in "north"`),
        ),
      },
    ])
    expect(detector.status).toEqual({ found: 1, waiting: 2 })
  })

  test('asks nobody while everybody waits in one database: that one finds its circles itself', async () => {
    await pass(10, [waiting(OLD, ['1', '2'], [2, 0]), waiting(YOUNG, ['3', '4'], [2, 0])])
    expect([...north.asked, ...south.asked]).toEqual([])
  })

  test('asks only for the sessions that wait', async () => {
    await pass(2)
    expect([north.asked[0], south.asked[0]]).toEqual([['3'], ['2']])
  })

  test('believes no circle that only one look has seen', async () => {
    close()
    north.isMoving = true
    await pass(16)
    expect(north.asked.length).toBeGreaterThan(4)
    expect(verdicts).toEqual([])
  })

  test('believes no circle whose halves were seen at different times', async () => {
    for (let round = 0; round < 8; round++) {
      close()
      if (round % 2 === 0) north.waits = []
      else south.waits = []
      await pass(2)
    }
    expect(verdicts).toEqual([])
  })

  test('condemns nobody when one of them was not reported again', async () => {
    close()
    const other = { condemn: (verdict: Verdict) => verdicts.push(verdict) > 0 }
    // Both applications said it once, and only one of them goes on.
    detector.waiting(other, [BOTH[1]])
    await pass(8, [BOTH[0]])
    expect(verdicts).toEqual([])
  })

  test('condemns nobody when one of them is in another statement by then', async () => {
    close()
    await pass(2)
    expect(north.asked).toHaveLength(2)
    detector.waiting(application, [waiting(OLD, ['1', '2'], [0, 3]), BOTH[1]])
    expect(verdicts).toEqual([])
  })

  test('a transaction that waits for one that is dying is in no circle through it', async () => {
    close()
    await pass(10, [waiting(OLD, ['1', '2'], [0, 2]), waiting(YOUNG, ['3', '4'], [2, 0], true)])
    expect(verdicts).toEqual([])
  })

  test('has the statements of a dying transaction ended where they wait, once', async () => {
    close()
    await pass(8, [waiting(YOUNG, ['3', '4'], [2, 0], true)])
    expect([north.cancelled, south.cancelled]).toEqual([['3'], []])
  })

  test('a database that can not be asked is left alone for a while, and finds nothing', async () => {
    close()
    south.failure = new Error('no PROCESS')
    await pass(40)
    expect(south.asked).toHaveLength(1)
    expect(verdicts).toEqual([])
    south.failure = undefined
    await pass(30)
    expect(verdicts).toHaveLength(1)
  })

  test('what an application said is gone with its connection', async () => {
    close()
    await pass(3)
    detector.leave(application)
    expect(detector.status.waiting).toBe(0)
  })

  test('joins the waits of a key-value participant, if they were told anew for each look', async () => {
    const here = (txid: Txid, session: string, inNorth: number, inStore: number): WaitingTransaction => ({
      txid,
      isDying: false,
      branches: [
        { branch: parseBranchId(0), participant: 'north', session, statement: inNorth },
        { branch: parseBranchId(1), participant: 'accounts', session: '', statement: inStore },
      ],
    })
    north.waits = [{ session: '3', wait: 'a', blockers: ['1'] }]
    const said = [here(OLD, '1', 0, 1), here(YOUNG, '3', 1, 0)]
    const store = {}
    detector.lockWaits(store, 'accounts', [{ txid: OLD, wait: 7, blockers: [YOUNG] }])
    await pass(8, said)
    expect(verdicts).toEqual([])
    for (let tenth = 0; tenth < 8; tenth++) {
      detector.lockWaits(store, 'accounts', [{ txid: OLD, wait: 7, blockers: [YOUNG] }])
      await pass(1, said)
    }
    expect(verdicts.map(({ txid }) => txid)).toEqual([YOUNG])
  })
})

describe('edges and circles', () => {
  test('a session of nobody stands between two transactions', () => {
    const databases = new Map([
      [
        'north',
        [
          { session: '3', wait: 'a', blockers: ['99'] },
          { session: '99', wait: 'b', blockers: ['98', '1'] },
          { session: '98', wait: 'c', blockers: ['99'] },
        ],
      ],
    ])
    const edges = [...edgesOf(BOTH, { databases, stores: new Map() }).values()]
    expect(edges.map(({ waiter, blocker }) => [waiter, blocker])).toEqual([[YOUNG, OLD]])
  })

  test('two circles with one victim need one death, and those that are apart one each', () => {
    const edge = (waiter: Txid, blocker: Txid): Edge => {
      return { waiter, blocker, participant: 'p', branch: parseBranchId(0), statement: 1, key: `${waiter} ${blocker}` }
    }
    const joined = [edge(OLD, THIRD), edge(THIRD, OLD), edge(YOUNG, THIRD), edge(THIRD, YOUNG)]
    expect(circlesOf(joined).map(({ victim }) => victim)).toEqual([THIRD])
    const [D, E, F, G] = TXIDS.slice(3) as [Txid, Txid, Txid, Txid]
    const apart = [edge(D, E), edge(E, D), edge(F, G), edge(G, F), edge(OLD, D)]
    expect(circlesOf(apart).map(({ victim }) => victim)).toEqual([E, G])
  })

  test('ten thousand who wait in a row for one cost no time to speak of', () => {
    const edges = Array.from({ length: 10_000 }, (_, at) => {
      const [waiter, blocker] = [at + 1, at].map((n) => `tx-${String(n).padStart(6, '0')}` as Txid) as [Txid, Txid]
      return { waiter, blocker, participant: 'p', branch: parseBranchId(0), statement: 1, key: `${at}` }
    })
    // A search from each of them would take fifty million steps.
    expect(circlesOf(edges)).toEqual([])
  })
})
