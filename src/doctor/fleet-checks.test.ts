import { expect, test } from 'vitest'
import type { MemberStatus, NodeStatus, ServerConfig } from '../server/index.ts'
import { checkFleet } from './fleet-checks.ts'
import { addressOf, answerOf, silent, statusOf, worse } from './statuses.support.ts'

function configOf(...nodes: readonly number[]): ServerConfig {
  return {
    cluster: 'trips',
    node: 1,
    members: nodes.map((id) => ({ id, address: addressOf(id) })),
  } as unknown as ServerConfig
}

const THREE = configOf(1, 2, 3)
const all = (changes: Partial<NodeStatus> = {}) => [1, 2, 3].map((node) => answerOf(node, changes))

function voters(...nodes: readonly number[]): readonly MemberStatus[] {
  return nodes.map((node) => ({ node, role: 'voter', address: addressOf(node), connected: true, lag: undefined }))
}

test('a fleet that is well has nothing but ok', () => {
  const findings = checkFleet(all(), THREE)
  expect(worse(findings)).toEqual([])
  expect(findings.map(({ what }) => what)).toEqual(['leader', 'quorum', 'members', 'sameResources'])
})

test('the loss of one of three is a warning, of two an error, of all an error', () => {
  expect(worse(checkFleet([answerOf(1), answerOf(2), silent(3)], THREE))).toEqual(['warning votersMissing'])
  expect(worse(checkFleet([answerOf(2), silent(1), silent(3)], THREE))).toEqual(['error noLeader', 'error noQuorum'])
  expect(worse(checkFleet([silent(1), silent(2), silent(3)], THREE))).toEqual(['error noQuorum'])
})

test('learners do not count for a majority', () => {
  const members = [
    ...voters(1),
    { ...voters(2)[0]!, role: 'learner' as const },
    { ...voters(3)[0]!, role: 'learner' as const },
  ]
  expect(worse(checkFleet(all({ members }), THREE))).toEqual(['warning noSpareVoter'])
})

test('one voter, two and four are too few or one too many', () => {
  const of = (...nodes: readonly number[]) =>
    worse(
      checkFleet(
        nodes.map((node) => answerOf(node, { members: voters(...nodes) })),
        configOf(...nodes),
      ),
    )
  expect(of(1)).toEqual(['warning noSpareVoter'])
  expect(of(1, 2)).toEqual(['warning noSpareVoter'])
  expect(of(1, 2, 3, 4)).toEqual(['warning evenVoters'])
  expect(of(1, 2, 3, 4, 5)).toEqual([])
})

test('members that only the file or only the fleet names are a warning that tells which', () => {
  const findings = checkFleet(all(), configOf(1, 2, 4))
  expect(worse(findings)).toEqual(['warning membersDiffer'])
  expect(findings.find(({ what }) => what === 'membersDiffer')?.message).toMatch(
    /only the fleet: 3=10\.0\.0\.3:7400; only the configuration: 4=10\.0\.0\.4:7400/,
  )
})

test('a database that a coordinator lacks is an error, one that lies elsewhere a warning', () => {
  const two = answerOf(2, { configured: [] })
  expect(worse(checkFleet([answerOf(1), two, answerOf(3)], THREE))).toEqual(['error resourceMissing'])
  const elsewhere = answerOf(2, { configured: [{ name: 'flights', kind: 'postgres', place: 'old:5432/trips' }] })
  const findings = checkFleet([answerOf(1), elsewhere, answerOf(3)], THREE)
  expect(worse(findings)).toEqual(['warning resourcesDiffer'])
  expect(findings.find(({ what }) => what === 'resourcesDiffer')?.message).toMatch(
    /postgres db:5432\/trips on node 1, 3; postgres old:5432\/trips on node 2/,
  )
})

test('a coordinator of an older release, which does not tell its databases, is a warning and no error', () => {
  const { configured: _, ...old } = statusOf(3, { version: '0.9.0' })
  expect(worse(checkFleet([answerOf(1), answerOf(2), { ...answerOf(3), status: old }], THREE))).toEqual([
    'warning mixedReleases',
    'warning resourcesUntold',
  ])
})

test('what waits for an operator is told by the leader', () => {
  const leader = answerOf(1, {
    transactions: { ...statusOf(1).transactions, heuristics: 2 },
    guard: { fromMs: 0, beforeMs: 5 },
  })
  expect(worse(checkFleet([answerOf(2), leader, answerOf(3)], THREE))).toEqual(['warning heuristics', 'warning guard'])
})

test('what a removed node or another cluster says counts for nothing', () => {
  const removed = answerOf(4, { removed: true, members: [], configured: [] })
  const foreign = answerOf(5, { cluster: 'other', configured: [] })
  expect(worse(checkFleet([...all(), removed, foreign], THREE))).toEqual([])
})

test('a participant without an instance is a warning, when the leader says so; others connect there first', () => {
  const participants = [
    { name: 'payments', instances: 0 },
    { name: 'tickets', instances: 2 },
  ]
  const [leader, follower, other] = all()
  const without = answerOf(1, { participants })
  expect(worse(checkFleet([without, follower!, other!], THREE))).toEqual(['warning noInstance'])
  expect(worse(checkFleet([leader!, answerOf(2, { participants }), other!], THREE))).toEqual([])
})

test('a branch that was ended by hand against its decision waits for somebody', () => {
  const transactions = { ...statusOf(1).transactions, settlements: 1 }
  expect(worse(checkFleet(all({ transactions }), THREE))).toEqual(['warning settlements'])
})
