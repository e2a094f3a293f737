import { describe, expect, test } from 'vitest'
import {
  aborted,
  apply,
  BOTH,
  branchOf,
  COMMITTED,
  commit,
  completed,
  FLIGHTS,
  HOTELS,
  ledgerAfter,
  PRESUMED,
  prepared,
  txidOf,
  watermark,
} from './fixtures.test-support.ts'
import { Ledger } from './ledger.ts'

const txid = txidOf(1)
const OTHERS = [FLIGHTS, branchOf(1, 'payments')]
const VOTED_ABORT = { kind: 'aborted', reason: 'votedAbort', participant: 'hotels' } as const

describe('votes', () => {
  test('prepared asks its branches for their votes', () => {
    const effects = apply(new Ledger(), prepared(txid))
    expect(effects).toEqual([{ kind: 'askVotes', txid, timeoutMs: 30_000, branches: BOTH }])
  })

  test('prepared twice with the same branches, in any order, changes nothing', () => {
    const ledger = ledgerAfter(prepared(txid))
    const before = ledger.digest()
    expect(apply(ledger, prepared(txid, [HOTELS, FLIGHTS]))).toEqual([])
    expect(ledger.digest()).toBe(before)
  })

  test('prepared twice with other branches is refused', () => {
    for (const others of [OTHERS, [FLIGHTS], [FLIGHTS, { ...HOTELS, kind: 'kv' as const }]]) {
      const ledger = ledgerAfter(prepared(txid))
      expect(apply(ledger, prepared(txid, others))).toEqual([{ kind: 'refused', txid, reason: 'otherBranches' }])
      expect(ledger.transaction(txid)?.branches).toEqual(BOTH)
    }
  })

  test('prepared after the decision hears the decision', () => {
    expect(apply(ledgerAfter(commit(txid, BOTH)), prepared(txid))).toEqual([
      { kind: 'alreadyDecided', txid, outcome: COMMITTED },
    ])
    expect(apply(ledgerAfter(aborted(txid)), prepared(txid, OTHERS))).toEqual([
      { kind: 'alreadyDecided', txid, outcome: PRESUMED },
    ])
  })
})

describe('the decision to commit', () => {
  test('commit with every vote there decides without a prepared record', () => {
    const ledger = new Ledger()
    expect(apply(ledger, commit(txid, BOTH))).toEqual([{ kind: 'decided', txid, outcome: COMMITTED, branches: BOTH }])
    expect(ledger.knowledge(txid)).toEqual(COMMITTED)
    expect([ledger.openCount, ledger.decidedCount, ledger.committedCount]).toEqual([1, 1, 1])
  })

  test('commit without branches uses those that prepared named', () => {
    const effects = apply(ledgerAfter(prepared(txid)), commit(txid))
    expect(effects).toEqual([{ kind: 'decided', txid, outcome: COMMITTED, branches: BOTH }])
  })

  test('commit without branches for an unknown transaction is refused and leaves it unknown', () => {
    const ledger = new Ledger()
    expect(apply(ledger, commit(txid))).toEqual([{ kind: 'refused', txid, reason: 'noBranches' }])
    expect(ledger.knowledge(txid)).toEqual({ kind: 'unknown' })
  })

  test('commit with other branches than prepared named is refused and the votes are still awaited', () => {
    const ledger = ledgerAfter(prepared(txid))
    expect(apply(ledger, commit(txid, OTHERS))).toEqual([{ kind: 'refused', txid, reason: 'otherBranches' }])
    expect(ledger.knowledge(txid)).toEqual({ kind: 'preparing' })
  })

  test('votes that came after prepared are kept with the decision', () => {
    const voted = { ...HOTELS, vote: 'commit' as const, evidence: '4711' }
    const effects = apply(ledgerAfter(prepared(txid)), commit(txid, [FLIGHTS, voted]))
    expect(effects).toMatchObject([{ kind: 'decided', branches: [FLIGHTS, voted] }])
  })

  test('P4: a recorded vote to commit cannot become readOnly and drop its branch from phase two', () => {
    const ledger = ledgerAfter(prepared(txid))
    const effects = apply(ledger, commit(txid, [{ ...FLIGHTS, vote: 'readOnly' }, HOTELS]))
    expect(effects).toMatchObject([{ kind: 'decided', branches: BOTH }])
  })

  test('a branch that voted readOnly is left out of phase two', () => {
    const ledger = new Ledger()
    const reader = branchOf(1, 'hotels', { vote: 'readOnly' })
    expect(apply(ledger, commit(txid, [FLIGHTS, reader]))).toMatchObject([{ kind: 'decided', branches: [FLIGHTS] }])
    expect(ledger.pending()).toMatchObject([{ kind: 'decided', branches: [FLIGHTS] }])
    expect(ledger.transaction(txid)?.branches).toEqual([FLIGHTS, reader])
  })

  test('a commit whose branches are all readOnly completes at once', () => {
    const ledger = new Ledger()
    const effects = apply(ledger, commit(txid, [branchOf(0, 'flights', { vote: 'readOnly' })]))
    expect(effects).toEqual([
      { kind: 'decided', txid, outcome: COMMITTED, branches: [] },
      { kind: 'completed', txid },
    ])
    expect([ledger.openCount, ledger.finishedCount]).toEqual([0, 1])
  })

  test('a second commit with the same branches hears committed, open and completed alike', () => {
    const ledger = ledgerAfter(commit(txid, BOTH))
    for (const repeat of [commit(txid, BOTH), commit(txid), completed(txid), commit(txid, [HOTELS, FLIGHTS])]) {
      const effects = apply(ledger, repeat)
      const expected = repeat.kind === 'completed' ? { kind: 'completed' } : { kind: 'alreadyDecided' }
      expect(effects).toMatchObject([expected])
    }
    expect(ledger.committedCount).toBe(1)
  })

  test('a second commit with other branches is refused, open and completed alike', () => {
    const ledger = ledgerAfter(commit(txid, BOTH))
    const refused = [{ kind: 'refused', txid, reason: 'otherBranches' }]
    expect(apply(ledger, commit(txid, OTHERS))).toEqual(refused)
    expect(apply(ledger, completed(txid), commit(txid, OTHERS))).toEqual(refused)
    expect(apply(ledger, prepared(txid, OTHERS))).toEqual(refused)
  })
})

describe('the decision to abort', () => {
  test('aborted tells the branches that it names', () => {
    const effects = apply(new Ledger(), aborted(txid, BOTH, 'hotels'))
    expect(effects).toEqual([{ kind: 'decided', txid, outcome: VOTED_ABORT, branches: BOTH }])
  })

  test('P7: aborting a prepared transaction tells recorded branches that the record left out', () => {
    const effects = apply(ledgerAfter(prepared(txid, [FLIGHTS])), aborted(txid, [branchOf(3, 'payments')]))
    expect(effects).toMatchObject([{ kind: 'decided', branches: [FLIGHTS, branchOf(3, 'payments')] }])
  })

  test('P5: aborted for an unknown transaction writes a tombstone and completes at once', () => {
    const ledger = new Ledger()
    expect(apply(ledger, aborted(txid))).toEqual([
      { kind: 'decided', txid, outcome: PRESUMED, branches: [] },
      { kind: 'completed', txid },
    ])
    expect(ledger.knowledge(txid)).toEqual(PRESUMED)
    expect([ledger.openCount, ledger.finishedCount, ledger.abortedCount]).toEqual([0, 1, 1])
  })

  test('P5: a commit that comes after the tombstone hears aborted', () => {
    const ledger = ledgerAfter(aborted(txid))
    expect(apply(ledger, commit(txid, BOTH))).toEqual([{ kind: 'alreadyDecided', txid, outcome: PRESUMED }])
    expect(ledger.committedCount).toBe(0)
  })

  test('P2: an abort that comes after the commit hears committed', () => {
    const ledger = ledgerAfter(commit(txid, BOTH))
    const late = [{ kind: 'alreadyDecided', txid, outcome: COMMITTED }]
    expect(apply(ledger, aborted(txid, OTHERS))).toEqual(late)
    expect(apply(ledger, completed(txid), aborted(txid))).toEqual(late)
  })

  test('a completed abort keeps its reason and participant', () => {
    const ledger = ledgerAfter(prepared(txid), aborted(txid, [], 'hotels'), completed(txid))
    expect(ledger.knowledge(txid)).toEqual(VOTED_ABORT)
  })
})

describe('completion', () => {
  test('one completed record finishes many transactions', () => {
    const [a, b] = [txidOf(1), txidOf(2)]
    const ledger = ledgerAfter(commit(a, BOTH), aborted(b, BOTH))
    expect(apply(ledger, completed(a, b))).toEqual([
      { kind: 'completed', txid: a },
      { kind: 'completed', txid: b },
    ])
    expect([ledger.openCount, ledger.finishedCount]).toEqual([0, 2])
  })

  test('completed for an unknown, an undecided or a finished transaction changes nothing', () => {
    const [unknown, undecided, finished] = [txidOf(1), txidOf(2), txidOf(3)]
    const ledger = ledgerAfter(prepared(undecided), aborted(finished))
    const before = ledger.digest()
    expect(apply(ledger, completed(unknown, undecided, finished, unknown))).toEqual([])
    expect(ledger.digest()).toBe(before)
  })
})

describe('a new leader', () => {
  test('asks for the votes of undecided transactions and tells decided ones, in the order of the log', () => {
    const [a, b, c] = [txidOf(9), txidOf(1), txidOf(5)]
    const ledger = ledgerAfter(prepared(a), commit(b, BOTH), prepared(c, [FLIGHTS]), aborted(c), aborted(txidOf(7)))
    expect(ledger.pending()).toEqual([
      { kind: 'askVotes', txid: a, timeoutMs: 30_000, branches: BOTH },
      { kind: 'decided', txid: b, outcome: COMMITTED, branches: BOTH },
      { kind: 'decided', txid: c, outcome: PRESUMED, branches: [FLIGHTS] },
    ])
  })

  test('has nothing to do for completed transactions', () => {
    expect(ledgerAfter(commit(txid, BOTH), completed(txid)).pending()).toEqual([])
  })
})

describe('what operators see', () => {
  test('open transactions are listed first and the limit holds', () => {
    const [a, b, c] = [txidOf(1), txidOf(2), txidOf(3)]
    const ledger = ledgerAfter(aborted(a), commit(b, BOTH), prepared(c))
    expect(ledger.list({ limit: 10 }).map(({ txid, state }) => [txid, state])).toEqual([
      [b, 'committed'],
      [c, 'preparing'],
      [a, 'completed'],
    ])
    expect(ledger.list({ limit: 2 })).toHaveLength(2)
    expect(ledger.list({ limit: 0 })).toEqual([])
  })

  test('a state filters the list', () => {
    const ledger = ledgerAfter(
      aborted(txidOf(1)),
      commit(txidOf(2), BOTH),
      prepared(txidOf(3)),
      aborted(txidOf(4), BOTH),
    )
    for (const state of ['preparing', 'committed', 'aborted', 'completed'] as const) {
      expect(ledger.list({ state, limit: 10 }).map((view) => view.state)).toEqual([state])
    }
  })

  test('an unknown transaction has no view', () => {
    expect(ledgerAfter(watermark(0)).transaction(txid)).toBeUndefined()
  })
})
