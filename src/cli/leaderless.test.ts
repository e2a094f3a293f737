import { describe, expect, test } from 'vitest'
import type { NodeStatus } from '../server/index.ts'
import { explainLeaderless, type StatusAnswer } from './leaderless.ts'

const addressOf = (node: number) => `127.0.0.1:${7400 + node}`

/** Three voters, and learner 4. */
const members: NodeStatus['members'] = [1, 2, 3, 4].map((node) => ({
  node,
  role: node === 4 ? 'learner' : 'voter',
  address: addressOf(node),
  connected: true,
  lag: undefined,
}))

function answer(node: number, leader?: number, term = 5): StatusAnswer {
  return {
    address: addressOf(node),
    status: { node, leader, term, members, serving: false, removed: false } as NodeStatus,
  }
}

const silent = (node: number): StatusAnswer => ({ address: addressOf(node), error: 'refused' })

describe('when no leader is among the answers', () => {
  test('a leader that was not asked is named, with its address', () => {
    expect(explainLeaderless([answer(1, 2)])).toBe(
      'Node 2 (127.0.0.1:7402) leads, but was not asked: give all addresses (--coordinators).',
    )
  })

  test('the word of the highest term counts', () => {
    expect(explainLeaderless([answer(1, 2, 5), answer(4, 3, 6)])).toMatch(/^Node 3 /)
  })

  test('a leader that was asked and is silent, or has only just been elected, is no "nobody leads" either', () => {
    expect(explainLeaderless([answer(1, 2), silent(2)])).toMatch(
      /^Node 2 leads by the others' account, but did not answer here/,
    )
    expect(explainLeaderless([answer(1, 2), answer(2, 2)])).toMatch(/^Node 2 was elected, or deposed, only just/)
  })

  test('who asks only some voters hears how many; learners do not count', () => {
    expect(explainLeaderless([answer(1)])).toMatch(/^None of the addresses asked leads \(1 of 3 voters asked\)/)
    expect(explainLeaderless([answer(1), silent(2), answer(4)])).toMatch(/\(2 of 3 voters asked\)/)
  })

  test('whoever campaigns knows better than a learner that has not heard of the end', () => {
    const campaigns = { ...answer(1), status: { ...answer(1).status, role: 'preCandidate' } as NodeStatus }
    expect(explainLeaderless([campaigns, answer(4, 2), silent(2), silent(3)])).toMatch(/^No leader answered/)
  })

  test('what a removed node says does not count', () => {
    const removed = { ...answer(1, 2), status: { ...answer(1, 2).status, removed: true } as NodeStatus }
    expect(explainLeaderless([removed, silent(2)])).toMatch(/^Only nodes answered that were removed/)
    expect(explainLeaderless([removed, answer(2, 3)])).toMatch(/^Node 3 /)
  })

  test('who asked everybody hears that nothing can be decided', () => {
    const words = /^No leader answered: nothing can be decided now/
    expect(explainLeaderless([answer(1), silent(2), silent(3)])).toMatch(words)
    // Another name of a member's address.
    expect(explainLeaderless([answer(1), silent(2), { address: 'localhost:7403', error: 'refused' }])).toMatch(words)
    expect(explainLeaderless([silent(1)]), 'nobody tells who there is').toMatch(words)
  })
})
