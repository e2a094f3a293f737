import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { NodeId } from '../base/index.ts'
import { hasQuorum, majorityOf, reachedByQuorum, tally } from './quorum.ts'

const votersOf = (count: number) => Array.from({ length: count }, (_, i) => (i + 1) as NodeId)

test('the value reached by a quorum is the highest that a majority has, by a slow reference', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(6), { maxLength: 9 }), (values) => {
      const voters = votersOf(values.length)
      let slow = 0
      for (let value = 0; value <= 6; value++) {
        if (values.filter((other) => other >= value).length > values.length / 2) slow = value
      }
      expect(reachedByQuorum(voters, (voter) => values[voter - 1]!)).toBe(slow)
    }),
  )
})

test('a tally agrees with trying every way in which the silent voters may still vote', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.boolean()), { minLength: 1, maxLength: 7 }), (ballots) => {
      const voters = votersOf(ballots.length)
      const votes = new Map<NodeId, boolean>()
      for (const [at, ballot] of ballots.entries()) if (ballot !== null) votes.set(voters[at]!, ballot)
      const sure = ballots.filter((ballot) => ballot === true).length
      const possible = ballots.filter((ballot) => ballot !== false).length
      const expected = sure > ballots.length / 2 ? 'won' : possible > ballots.length / 2 ? 'open' : 'lost'
      expect(tally(voters, votes)).toBe(expected)
    }),
  )
})

test('any two majorities share a voter', () => {
  for (let count = 1; count <= 9; count++) expect(2 * majorityOf(count)).toBeGreaterThan(count)
})

test('answers of nodes that are not voters do not count', () => {
  const votes = new Map([
    [9 as NodeId, true],
    [8 as NodeId, true],
    [1 as NodeId, true],
  ])
  expect(tally(votersOf(3), votes)).toBe('open')
})

test('without voters there is no quorum', () => {
  expect(hasQuorum([], () => true)).toBe(false)
  expect(reachedByQuorum([], () => 5)).toBe(0)
})
