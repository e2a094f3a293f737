import { expect, test } from 'vitest'
import type { Heard } from './answers.ts'
import type { Oracle } from './oracle.ts'
import { checksFailedBy } from './planted.support.ts'

/** `a` hears one thing, and then `b` another one, which it asked for at `askedMs`; `a`'s answer came at 100. */
function heard(first: Heard, second: Heard, askedMs = 101): readonly string[] {
  return checksFailedBy(({ answers }, checks) => {
    answers.wantsCommit('t')
    checks.nowMs = 100
    answers.heard('t', { by: 'a', heard: first, askedMs: 50 })
    checks.nowMs = 200
    answers.heard('t', { by: 'b', heard: second, askedMs })
  })
}

test('answers that fit together are nobody’s fault', () => {
  expect(heard('committed', 'committed')).toEqual([])
  expect(heard('aborted', 'aborted')).toEqual([])
  expect(heard('unknown', 'committed')).toEqual([])
  expect(heard('preparing', 'aborted')).toEqual([])
  expect(heard('committed', 'forgotten')).toEqual([])
})

test('P8: "committed" after "aborted", and the other way round, is found', () => {
  expect(heard('aborted', 'committed')).toEqual(['P8'])
  expect(heard('committed', 'aborted')).toEqual(['P8'])
})

test.each<Heard>(['unknown', 'preparing'])(
  'a question asked after a final answer must not be answered "%s"',
  (late) => {
    expect(heard('committed', late)).toEqual(['linearizable'])
    expect(heard('aborted', late)).toEqual(['linearizable'])
  },
)

test('a question asked before the final answer came may be answered from before', () => {
  expect(heard('committed', 'unknown', 100)).toEqual([])
  expect(heard('committed', 'preparing', 60)).toEqual([])
})

test('P3: "committed" of what nobody wanted to commit is found', () => {
  const history = ({ answers }: Oracle): void => answers.heard('t', { by: 'a', heard: 'committed', askedMs: 0 })
  expect(checksFailedBy(history)).toEqual(['P3'])
})

test('transactions do not meddle with each other', () => {
  const failed = checksFailedBy(({ answers }) => {
    answers.wantsCommit('t')
    answers.heard('t', { by: 'a', heard: 'committed', askedMs: 0 })
    answers.heard('u', { by: 'a', heard: 'aborted', askedMs: 0 })
    expect([answers.finalOf('t'), answers.finalOf('u'), answers.finalOf('v')]).toEqual([
      'committed',
      'aborted',
      undefined,
    ])
  })
  expect(failed).toEqual([])
})
