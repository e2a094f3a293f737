import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { NodeId } from '../base/index.ts'
import { hasQuorum, majorityOf, reachedByQuorum, tally, type Voters } from './quorum.ts'
import { subsetsOf } from './testing/configurations.ts'

const NODES = [1, 2, 3, 4, 5, 6] as NodeId[]

const simple = (count: number): Voters => ({ voters: NODES.slice(0, count), votersOutgoing: [] })

/** Simple and joint configurations over six nodes. */
const configurations: fc.Arbitrary<Voters> = fc.record({
  voters: fc.subarray(NODES, { minLength: 1 }),
  votersOutgoing: fc.oneof(fc.constant<NodeId[]>([]), fc.subarray(NODES)),
})

const ALL_SUBSETS = subsetsOf(NODES)

/** The slow reference: every quorum there is, written down. */
function quorumsOf({ voters, votersOutgoing }: Voters): NodeId[][] {
  const isMajority = (set: readonly NodeId[], of: readonly NodeId[]) =>
    of.filter((node) => set.includes(node)).length * 2 > of.length
  return ALL_SUBSETS.filter(
    (set) => isMajority(set, voters) && (votersOutgoing.length === 0 || isMajority(set, votersOutgoing)),
  )
}

test('a set of nodes is a quorum exactly when the slow reference lists it', () => {
  fc.assert(
    fc.property(configurations, (configuration) => {
      const quorums = quorumsOf(configuration)
      for (const set of ALL_SUBSETS)
        expect(hasQuorum(configuration, (voter) => set.includes(voter))).toBe(quorums.includes(set))
    }),
  )
})

test('the value reached by a quorum is the best of what each quorum has reached, by the slow reference', () => {
  fc.assert(
    fc.property(configurations, fc.array(fc.nat(6), { minLength: 6, maxLength: 6 }), (configuration, values) => {
      const reached = (voter: NodeId) => values[voter - 1]!
      const { voters, votersOutgoing } = configuration
      const lowest = (set: readonly NodeId[]) =>
        Math.min(...set.filter((node) => voters.includes(node) || votersOutgoing.includes(node)).map(reached))
      const slow = Math.max(...quorumsOf(configuration).map(lowest))
      expect(reachedByQuorum(configuration, reached)).toBe(slow)
    }),
  )
})

test('a tally agrees with trying every way in which the silent voters may still vote', () => {
  const ballots = fc.array(fc.option(fc.boolean()), { minLength: 6, maxLength: 6 })
  fc.assert(
    fc.property(configurations, ballots, (configuration, cast) => {
      const votes = new Map<NodeId, boolean>()
      for (const [at, ballot] of cast.entries()) if (ballot !== null) votes.set(NODES[at]!, ballot)
      const quorums = quorumsOf(configuration)
      const granted = NODES.filter((node) => votes.get(node) === true)
      const silent = NODES.filter((node) => !votes.has(node))
      const endings = subsetsOf(silent).map((more) => [...granted, ...more])
      const isWon = (set: readonly NodeId[]) => quorums.some((quorum) => quorum.every((node) => set.includes(node)))
      const expected = isWon(granted) ? 'won' : endings.some(isWon) ? 'open' : 'lost'
      expect(tally(configuration, votes)).toBe(expected)
    }),
  )
})

test('thesis §4.3: a joint quorum overlaps every quorum of its old and every quorum of its new voters', () => {
  fc.assert(
    fc.property(fc.subarray(NODES, { minLength: 1 }), fc.subarray(NODES, { minLength: 1 }), (before, after) => {
      const joint = quorumsOf({ voters: after, votersOutgoing: before })
      for (const voters of [before, after]) {
        for (const quorum of quorumsOf({ voters, votersOutgoing: [] })) {
          expect(joint.every((other) => other.some((node) => quorum.includes(node)))).toBe(true)
        }
      }
    }),
    { numRuns: 20 },
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
  expect(tally(simple(3), votes)).toBe('open')
})

test('without voters there is no quorum', () => {
  expect(hasQuorum(simple(0), () => true)).toBe(false)
  expect(reachedByQuorum(simple(0), () => 5)).toBe(0)
  expect(tally(simple(0), new Map())).toBe('lost')
})
