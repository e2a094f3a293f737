import { expect, test } from 'vitest'
import { checkCoordinator } from './coordinator-checks.ts'
import { answerOf, NOW_MS, silent, statusOf, worse } from './statuses.support.ts'

const check = (...[node, changes]: Parameters<typeof answerOf>) => checkCoordinator(answerOf(node, changes), 'trips')

test('a coordinator that is well has nothing but ok', () => {
  expect(worse(check(1))).toEqual([])
  expect(check(1).map(({ what }) => what)).toEqual(['answers', 'clock'])
})

test('a coordinator that does not answer is an error that repeats why', () => {
  expect(checkCoordinator(silent(2), 'trips')).toMatchObject([
    {
      subject: 'coordinator at 10.0.0.2:7400',
      level: 'error',
      what: 'noAnswer',
      message: expect.stringMatching(/REFUSED/),
    },
  ])
})

test('one of another cluster, and one that was removed, are errors', () => {
  expect(worse(check(2, { cluster: 'other' }))).toEqual(['error wrongCluster'])
  expect(worse(check(2, { removed: true, members: [] }))).toEqual(['error removed'])
})

test('a clock is judged by how far off it is, and an old release that tells none is not judged', () => {
  const clock = (offMs: number) => worse(check(2, { wallMs: NOW_MS + offMs }))
  expect([0, 4_000, -4_000].map(clock)).toEqual([[], [], []])
  expect([6_000, -6_000].map(clock)).toEqual([['warning clock'], ['warning clock']])
  expect([700_000, -700_000].map(clock)).toEqual([['error clock'], ['error clock']])
  const { wallMs: _, ...old } = statusOf(2)
  expect(worse(checkCoordinator({ ...answerOf(2), status: old }, 'trips'))).toEqual([])
})

test('time that the answer was on its way is no fault of the clock', () => {
  const slow = { ...answerOf(2, { wallMs: NOW_MS + 9_000 }), answeredMs: NOW_MS + 10_000 }
  expect(worse(checkCoordinator(slow, 'trips'))).toEqual([])
})

test('a connection between two coordinators that is missing is a warning at the one that says so', () => {
  const members = statusOf(2).members.map((member) => ({ ...member, connected: member.node !== 3 }))
  expect(check(2, { members }).find(({ level }) => level === 'warning')).toMatchObject({
    subject: 'coordinator 2',
    what: 'notConnected',
    message: expect.stringMatching(/node 3 \(10\.0\.0\.3:7400\)/),
  })
})

test('a full disk, a database in error and a branch long in doubt are told', () => {
  const resource = { name: 'flights', inDoubt: 2, oldestMs: 90_000, error: undefined }
  expect(worse(check(1, { log: { bytesOnDisk: 1, spaceLow: true } }))).toEqual(['error diskFull'])
  expect(worse(check(1, { resources: [{ ...resource, error: 'gone' }] }))).toEqual(['error databaseError'])
  expect(worse(check(1, { resources: [resource] }))).toEqual(['warning longInDoubt'])
  expect(worse(check(1, { resources: [{ ...resource, oldestMs: 100 }] }))).toEqual([])
  expect(worse(check(2, { resources: [resource] })), 'what a follower has is of its last leadership').toEqual([])
})
