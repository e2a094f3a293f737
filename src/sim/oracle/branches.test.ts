import { expect, test } from 'vitest'
import type { Branches } from './branches.ts'
import { checksFailedBy } from './planted.support.ts'

/** Two branches of a transaction that somebody asked to commit, both prepared; then `rest`. */
function afterPrepare(rest: (branches: Branches) => void): readonly string[] {
  return checksFailedBy(({ branches }) => {
    branches.prepared('t', 'flights#0')
    branches.prepared('t', 'hotels#1')
    branches.askedToCommit('t')
    rest(branches)
  })
}

test('branches that all commit, or all roll back, are nobody’s fault', () => {
  for (const how of ['committed', 'aborted'] as const) {
    const failed = afterPrepare((branches) => {
      expect(branches.open()).toHaveLength(2)
      branches.ended('t', 'flights#0', how)
      branches.ended('t', 'hotels#1', how)
      expect([branches.open(), branches.endOf('t')]).toEqual([[], how])
    })
    expect(failed).toEqual([])
  }
})

test('P1: one branch committed and the other rolled back is found, in either order', () => {
  for (const [first, second] of [['committed', 'aborted'] as const, ['aborted', 'committed'] as const]) {
    const failed = afterPrepare((branches) => {
      branches.ended('t', 'flights#0', first)
      branches.ended('t', 'hotels#1', second)
    })
    expect(failed).toEqual(['P1'])
  }
})

test('P3: a branch committed although nobody had asked for it is found', () => {
  const failed = checksFailedBy(({ branches }) => {
    branches.prepared('t', 'flights#0')
    branches.ended('t', 'flights#0', 'committed')
  })
  expect(failed).toEqual(['P3'])
})

test('a branch may be rolled back before anybody asked to commit', () => {
  const failed = checksFailedBy(({ branches }) => {
    branches.prepared('t', 'flights#0')
    branches.ended('t', 'flights#0', 'aborted')
  })
  expect(failed).toEqual([])
})

test('P4: a vote for a branch that was never prepared is found', () => {
  expect(afterPrepare((branches) => branches.votedCommit('t', 'payments#2'))).toEqual(['P4'])
  expect(afterPrepare((branches) => branches.votedCommit('t', 'flights#0'))).toEqual([])
})

test('P4: a branch that ends twice, or is prepared twice, is found', () => {
  const twice = (branches: Branches): void => {
    branches.ended('t', 'flights#0', 'committed')
    branches.ended('t', 'flights#0', 'committed')
  }
  expect(afterPrepare(twice)).toEqual(['P4'])
  expect(afterPrepare((branches) => branches.prepared('t', 'flights#0'))).toEqual(['P4'])
})

test('a prepared branch that wrote nothing may vanish', () => {
  const failed = afterPrepare((branches) => {
    branches.emptied('t', 'hotels#1')
    branches.votedCommit('t', 'hotels#1')
    branches.ended('t', 'flights#0', 'committed')
  })
  expect(failed).toEqual([])
})

test('P7: what is still prepared or locked at the end is found', () => {
  const stillPrepared = checksFailedBy((oracle) => {
    oracle.branches.prepared('t', 'flights#0')
    oracle.checkFree([])
  })
  expect(stillPrepared).toEqual(['P7'])
  expect(checksFailedBy((oracle) => oracle.checkFree(['flights/accounts/1']))).toEqual(['P7'])
  expect(checksFailedBy((oracle) => oracle.checkFree([]))).toEqual([])
})

test('P3: a client that heard "committed" while the branches were rolled back is found, and the other way round', () => {
  for (const [said, done] of [['committed', 'aborted'] as const, ['aborted', 'committed'] as const]) {
    const failed = checksFailedBy((oracle) => {
      oracle.answers.wantsCommit('t')
      oracle.branches.prepared('t', 'flights#0')
      oracle.branches.askedToCommit('t')
      oracle.branches.ended('t', 'flights#0', done)
      oracle.answers.heard('t', { by: 'a', heard: said, askedMs: 0 })
      oracle.checkAnswersAgainstBranches()
    })
    expect(failed).toEqual(['P3'])
  }
})

test('P1: a branch rolled back by hand against a decision to commit must be reported', () => {
  const committed = { outcome: { kind: 'committed' } } as const
  const forcedWith = (heuristics: readonly object[]): readonly string[] =>
    checksFailedBy((oracle) => {
      oracle.branches.prepared('t', 'flights#0')
      oracle.branches.prepared('t', 'hotels#1')
      oracle.branches.askedToCommit('t')
      oracle.branches.force('t', 'flights#0', 'aborted')
      oracle.branches.ended('t', 'flights#0', 'aborted')
      oracle.branches.ended('t', 'hotels#1', 'committed')
      oracle.answers.wantsCommit('t')
      oracle.answers.heard('t', { by: 'a', heard: 'committed', askedMs: 0 })
      oracle.checkAnswersAgainstBranches()
      oracle.checkForced(() => ({ ...committed, heuristics }) as never)
    })
  expect(forcedWith([])).toEqual(['P1'])
  expect(forcedWith([{ branch: 0, found: 'aborted' }])).toEqual([])
})
