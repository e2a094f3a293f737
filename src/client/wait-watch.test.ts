import { expect, test } from 'vitest'
import { type BranchId, parseBranchId, type Txid } from '../base/index.ts'
import { TXIDS } from '../base/txids.support.ts'
import type { Verdict } from '../coordinator/index.ts'
import type { WaitingTransaction } from '../transport/index.ts'
import type { ActiveTransaction, WorkingBranch } from './active-transaction.ts'
import { WaitWatch } from './wait-watch.ts'

/** A clock whose only timer a test lets fire. */
function watchOver(running: Map<Txid, ActiveTransaction>) {
  const told: (readonly WaitingTransaction[])[] = []
  let tick: (() => void) | undefined
  let verdict: (verdict: Verdict) => void = () => {}
  const clock = {
    every: (_ms: number, task: () => void) => {
      tick = task
      return { timer: 1 }
    },
    cancel: () => {
      tick = undefined
    },
  } as never
  const port = {
    waiting: (transactions: readonly WaitingTransaction[], onVerdict: (verdict: Verdict) => void) => {
      told.push(transactions)
      verdict = onVerdict
    },
  }
  const watch = new WaitWatch({ port, clock, running })
  return {
    watch,
    told,
    sweep: () => tick?.(),
    isLooking: () => tick !== undefined,
    condemn: (v: Verdict) => verdict(v),
  }
}

class Work {
  isDying = false
  closed = 0
  readonly #closing = {
    closeAtEnd: () => {
      this.closed += 1
    },
  }
  readonly txid: Txid
  readonly branches: { branchId: BranchId; underWay: number | undefined; participant: string; session: string }[]

  constructor(txid: Txid, ...participants: string[]) {
    this.txid = txid
    this.branches = participants.map((participant, at) => {
      return { branchId: parseBranchId(at), underWay: undefined, participant, session: `${at + 7}` }
    })
  }

  *working(): Generator<WorkingBranch> {
    for (const branch of this.branches) yield { ...branch, branch: Object.assign(branch, this.#closing) }
  }

  condemned({ statement }: Verdict): boolean {
    this.isDying = this.branches.some(({ underWay }) => underWay === statement)
    return this.isDying
  }
}

function begin(work: Work) {
  return new Map([[work.txid, work as unknown as ActiveTransaction]])
}

test('a statement that three looks have seen is told with all sessions, again and again, and taken back once', () => {
  const work = new Work(TXIDS[0]!, 'north', 'south')
  const { watch, told, sweep } = watchOver(begin(work))
  watch.start()
  work.branches[1]!.underWay = 2
  sweep()
  sweep()
  expect(told).toEqual([])
  sweep()
  sweep()
  const branches = [
    { branch: 0, participant: 'north', session: '7', statement: 0 },
    { branch: 1, participant: 'south', session: '8', statement: 2 },
  ]
  const whole = [{ txid: work.txid, isDying: false, branches }]
  expect(told).toEqual([whole, whole])
  work.branches[1]!.underWay = 3
  sweep()
  sweep()
  expect(told.slice(2)).toEqual([[]])
})

test('short statements are never told, however many there are, and nothing is looked at when nothing runs', () => {
  const work = new Work(TXIDS[0]!, 'north')
  const running = begin(work)
  const { watch, told, sweep, isLooking } = watchOver(running)
  watch.start()
  for (let statement = 1; statement < 20; statement++) {
    work.branches[0]!.underWay = statement
    sweep()
  }
  expect(told).toEqual([])
  running.clear()
  sweep()
  expect(isLooking()).toBe(false)
  watch.start()
  expect(isLooking()).toBe(true)
})

test('a verdict is carried out and told at once; one about another statement does nothing', () => {
  const work = new Work(TXIDS[0]!, 'north')
  const { watch, told, sweep, condemn } = watchOver(begin(work))
  watch.start()
  work.branches[0]!.underWay = 1
  for (let look = 0; look < 3; look++) sweep()
  const verdict = { txid: work.txid, branch: parseBranchId(0), circle: 'c' }
  condemn({ ...verdict, statement: 9 })
  condemn({ ...verdict, txid: TXIDS[1]!, statement: 1 })
  expect(told).toHaveLength(1)
  expect(work.closed).toBe(0)
  condemn({ ...verdict, statement: 1 })
  expect(told.at(-1)).toMatchObject([{ txid: work.txid, isDying: true, branches: [{ statement: 1 }] }])
  expect(told).toHaveLength(2)
  expect(work.closed).toBe(1)
})
