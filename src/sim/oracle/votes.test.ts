import { expect, test } from 'vitest'
import { checksFailedBy } from './planted.support.ts'
import type { GivenVote, Votes } from './votes.ts'

/** A commit of two branches that voted so; then `rest`. */
function afterVotes(
  first: GivenVote | undefined,
  second: GivenVote | undefined,
  rest: (votes: Votes) => void,
): readonly string[] {
  return checksFailedBy(({ votes }) => {
    votes.requested('t', ['a#0', 'b#1'])
    if (first !== undefined) votes.voted('t', 'a#0', first)
    if (second !== undefined) votes.voted('t', 'b#1', second)
    rest(votes)
  })
}

const commits = (votes: Votes): void => votes.committed('t')

test('a commit with every vote is nobody’s fault; readers agree too', () => {
  expect(afterVotes('commit', 'commit', commits)).toEqual([])
  expect(afterVotes('commit', 'readOnly', commits)).toEqual([])
})

test('unanimity: a commit with a vote missing, or with a "no", is found', () => {
  expect(afterVotes('commit', undefined, commits)).toEqual(['unanimity'])
  expect(afterVotes('commit', 'abort', commits)).toEqual(['unanimity'])
})

test('unanimity: the votes of two different requests do not add up', () => {
  const failed = checksFailedBy(({ votes }) => {
    votes.requested('t', ['a#0', 'b#1'])
    votes.requested('t', ['a#0', 'c#2'])
    votes.voted('t', 'b#1', 'commit')
    votes.voted('t', 'c#2', 'commit')
    votes.committed('t')
  })
  expect(failed).toEqual(['unanimity'])
})

test('P4: a vote that changes is found; one that is repeated is fine', () => {
  expect(afterVotes('commit', 'commit', (votes) => votes.voted('t', 'a#0', 'abort'))).toEqual(['P4'])
  expect(afterVotes('commit', 'commit', (votes) => votes.voted('t', 'a#0', 'commit'))).toEqual([])
})

test('a commit of which every request was refused for good is found', () => {
  const refuse = (votes: Votes): void => votes.refused('t')
  expect(afterVotes('commit', 'commit', (votes) => [refuse, commits].map((step) => step(votes)))).toEqual(['refused'])
})

test('P2: a transaction committed with two sets of branches is found', () => {
  const failed = afterVotes('commit', 'commit', (votes) => {
    votes.requested('t', ['a#0'])
    votes.committed('t', ['a#0', 'b#1'])
    votes.committed('t', ['b#1', 'a#0'])
    votes.committed('t', ['a#0'])
  })
  expect(failed).toEqual(['P2'])
})

test('one request that was not refused is enough to commit', () => {
  const failed = afterVotes('commit', 'commit', (votes) => {
    votes.requested('t', ['a#0', 'b#1'])
    votes.refused('t')
    votes.committed('t')
  })
  expect(failed).toEqual([])
})

test('P1: of a transaction that its client contradicted, the branches that were committed must be', () => {
  const endedWith = (first: 'committed' | 'aborted', other: 'committed' | 'aborted'): readonly string[] =>
    checksFailedBy((oracle) => {
      for (const where of ['a#0', 'c#2']) oracle.branches.prepared('t', where)
      oracle.branches.askedToCommit('t')
      oracle.branches.contradict('t')
      oracle.votes.requested('t', ['a#0'])
      oracle.votes.requested('t', ['c#2'])
      oracle.votes.voted('t', 'a#0', 'commit')
      oracle.votes.committed('t', ['a#0'])
      oracle.branches.ended('t', 'a#0', first)
      oracle.branches.ended('t', 'c#2', other)
      oracle.checkContradicted()
    })
  expect(endedWith('committed', 'committed')).toEqual([])
  expect(endedWith('committed', 'aborted')).toEqual([])
  expect(endedWith('aborted', 'committed')).toEqual(['P1'])
})
