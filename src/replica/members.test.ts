import { afterEach, expect, test } from 'vitest'
import { type NodeId, parseNodeId } from '../base/index.ts'
import { eventually, Fleet, membersUpTo, type TestNode } from './fleet.support.ts'
import type { MembersRequest } from './members-request.ts'
import type { ReplicaTuning } from './options.ts'

let fleet: Fleet

const id = parseNodeId

afterEach(() => fleet.stopAll())

async function start(count: number, tuning: Partial<ReplicaTuning> = {}): Promise<TestNode> {
  fleet = new Fleet({ members: membersUpTo(count), tuning })
  await fleet.start()
  return await fleet.leader()
}

async function refusal(request: MembersRequest): Promise<{ readonly code: string; readonly nodes: readonly NodeId[] }> {
  const leader = await fleet.leader()
  return await leader.replica.changeMembers(request).then(
    () => {
      throw new Error('it was not refused')
    },
    (error) => error,
  )
}

const rolesSeenBy = ({ replica }: TestNode) =>
  Object.fromEntries(replica.members().members.map(({ nodeId, role }) => [nodeId, role]))

async function allSee(roles: Readonly<Record<number, string>>, nodes = fleet.running): Promise<void> {
  const wanted = JSON.stringify(roles)
  await eventually(`all see ${wanted}`, () => nodes.every((node) => JSON.stringify(rolesSeenBy(node)) === wanted))
}

test('a node joins as a learner, gets everything, and is promoted; then it votes', async () => {
  const leader = await start(3)
  leader.propose('before')
  const joiner = await fleet.join(4, 7004)
  await fleet.changeMembers({ kind: 'add', ...joiner })
  await allSee({ 1: 'voter', 2: 'voter', 3: 'voter', 4: 'learner' })
  await fleet.applied(1)
  await fleet.changeMembers({ kind: 'promote', nodeId: id(4) })
  await allSee({ 1: 'voter', 2: 'voter', 3: 'voter', 4: 'voter' })
  leader.propose('after')
  await fleet.applied(2)
  // Two of four crash: without the new node's vote nothing could be decided.
  await fleet.crash(fleet.followers(leader).find(({ nodeId }) => nodeId !== 4)!.nodeId)
  leader.propose('three of four')
  await eventually('applied', () => fleet.nodes.get(id(4))!.recorder.applied.includes('three of four'))
  expect(fleet.running.flatMap(({ fatal }) => fatal)).toEqual([])
})

test('a node that waits to be added never campaigns, and its directory remembers what it was added to', async () => {
  await start(3)
  const joiner = await fleet.join(4, 7004)
  const before = fleet.nodes.get(id(4))!
  await new Promise((resolve) => setTimeout(resolve, 700))
  expect(before.replica.status().raft).toMatchObject({ role: 'follower', currentTerm: 0 })
  expect(before.replica.members().members).toEqual([])
  await fleet.changeMembers({ kind: 'add', ...joiner })
  await allSee({ 1: 'voter', 2: 'voter', 3: 'voter', 4: 'learner' })
  await fleet.crash(before.nodeId)
  // The flag is gone from its configuration; what the log says counts.
  fleet.more.delete(id(4))
  await fleet.start(4)
  await allSee({ 1: 'voter', 2: 'voter', 3: 'voter', 4: 'learner' })
  const { nodeId: leader } = await fleet.leader()
  // Its directory knows the members; who leads it has to hear.
  await eventually('it hears who leads', () => fleet.nodes.get(id(4))!.replica.members().leader === leader)
})

test('a learner that is gone for good is removed, and its id is never used again', async () => {
  await start(3)
  await fleet.changeMembers({ kind: 'add', nodeId: id(9), host: '127.0.0.1', port: 7009 })
  await fleet.changeMembers({ kind: 'remove', nodeId: id(9) })
  await allSee({ 1: 'voter', 2: 'voter', 3: 'voter' })
  expect((await fleet.leader()).replica.members().retired).toEqual([9])
  expect(await refusal({ kind: 'add', nodeId: id(9), host: '127.0.0.1', port: 7009 })).toMatchObject({
    code: 'NODE_ID_RETIRED',
    nodes: [9],
  })
})

test('a removed follower hears of it, stops by itself, and disturbs nobody', async () => {
  const leader = await start(3)
  const gone = fleet.followers(leader)[0]!
  await fleet.changeMembers({ kind: 'remove', nodeId: gone.nodeId })
  await eventually('it knows', () => gone.replica.status().removed)
  const { currentTerm } = leader.replica.status().raft
  await new Promise((resolve) => setTimeout(resolve, 700))
  expect(leader.replica.status().raft).toMatchObject({ role: 'leader', currentTerm })
  expect(gone.fatal).toEqual([])
  expect(gone.replica.propose(Buffer.from('x'))).toMatchObject({ kind: 'refused', reason: 'notLeader' })
  await expect(gone.replica.readBarrier()).rejects.toMatchObject({ code: 'NODE_REMOVED', retryable: false })
  leader.propose('without it')
  await eventually('applied', () => leader.recorder.applied.includes('without it'))
  // It remembers as much, also when nobody is there; and is told again that nobody needs it as soon as somebody is.
  await fleet.stopAll()
  await fleet.start(gone.nodeId)
  const again = fleet.nodes.get(gone.nodeId)!
  await eventually('it knows', () => again.replica.members().removed)
  await fleet.start(leader.nodeId)
  await eventually('it stops', () => again.replica.status().removed)
})

test('a node that was removed while it was away hears NODE_REMOVED when it comes back', async () => {
  const leader = await start(3)
  const gone = fleet.followers(leader)[0]!
  await fleet.crash(gone.nodeId)
  await fleet.changeMembers({ kind: 'remove', nodeId: gone.nodeId })
  await fleet.start(gone.nodeId)
  const back = fleet.nodes.get(gone.nodeId)!
  await eventually('it knows', () => back.replica.status().removed)
  expect(back.fatal).toEqual([])
  expect(fleet.running.flatMap(({ rejections }) => rejections.map(({ code }) => code))).toContain('NODE_REMOVED')
  expect(rolesSeenBy(back), 'its own log does not say so').toMatchObject({ [gone.nodeId]: 'voter' })
})

test('a leader that removes itself hands over, and the others go on at once', async () => {
  const leader = await start(3)
  await leader.replica.changeMembers({ kind: 'remove', nodeId: leader.nodeId })
  const next = await eventually('another leads', () => fleet.followers(leader).find(({ recorder }) => recorder.leads))
  await eventually('it knows', () => leader.replica.status().removed)
  expect(leader.recorder.leads).toBe(false)
  expect(rolesSeenBy(next)).not.toHaveProperty(String(leader.nodeId))
  next.propose('on')
  await eventually('applied', () => fleet.followers(leader).every(({ recorder }) => recorder.applied.includes('on')))
})

test('a dead voter is replaced in one step, and the whole fleet is exchanged, node by node', async () => {
  const first = await start(3)
  first.propose('first')
  await fleet.applied(1)
  for (const [old, fresh] of [
    [1, 4],
    [2, 5],
    [3, 6],
  ] as const) {
    await fleet.crash(id(old))
    const joiner = await fleet.join(fresh, 7000 + fresh)
    await fleet.changeMembers({ kind: 'add', ...joiner })
    await fleet.changeMembers({ kind: 'promote', nodeId: id(fresh), replaces: id(old) })
    ;(await fleet.leader()).propose(`without ${old}`)
    await fleet.applied(1 + old)
  }
  await allSee({ 4: 'voter', 5: 'voter', 6: 'voter' })
  for (const { recorder } of fleet.running)
    expect(recorder.applied).toEqual(['first', 'without 1', 'without 2', 'without 3'])
  expect((await fleet.leader()).replica.members().retired).toEqual([1, 2, 3])
})

test('a follower that slept through the exchange of everybody else is found by those it has never heard of', async () => {
  await start(3)
  const sleeper = fleet.nodes.get(id(3))!
  await fleet.crash(sleeper.nodeId)
  for (const fresh of [4, 5]) {
    const joiner = await fleet.join(fresh, 7000 + fresh)
    await fleet.changeMembers({ kind: 'add', ...joiner })
    await fleet.changeMembers({ kind: 'promote', nodeId: id(fresh) })
  }
  for (const old of [1, 2]) {
    await fleet.changeMembers({ kind: 'remove', nodeId: id(old) })
    await fleet.stop(id(old))
  }
  ;(await fleet.leader()).propose('news')
  await fleet.start(3)
  await eventually('it is told', () => fleet.nodes.get(id(3))!.recorder.applied.includes('news'))
  await allSee({ 3: 'voter', 4: 'voter', 5: 'voter' })
})

test('a member that moved is dialled at its new address', async () => {
  const leader = await start(3)
  const moved = fleet.followers(leader)[0]!
  await fleet.stop(moved.nodeId)
  const member = { nodeId: moved.nodeId, host: '127.0.0.1', port: 7020 }
  await fleet.changeMembers({ kind: 'add', ...member })
  await allSee({ 1: 'voter', 2: 'voter', 3: 'voter' })
  expect(leader.replica.addressOf(moved.nodeId)).toBe('127.0.0.1:7020')
  fleet.joined.push(member)
  const members = fleet.members.map((each) => (each.nodeId === moved.nodeId ? member : each))
  fleet.more.set(moved.nodeId, { members })
  await fleet.start(moved.nodeId)
  leader.propose('found')
  await fleet.applied(1)
})

test('what would leave too few living voters is refused, unless somebody says why', async () => {
  const leader = await start(3)
  const [alive, dead] = fleet.followers(leader) as [TestNode, TestNode]
  await fleet.crash(dead.nodeId)
  await eventually('it is known to be dead', () =>
    leader.replica.members().members.some(({ nodeId, alive: answers }) => nodeId === dead.nodeId && answers === false),
  )
  expect(await refusal({ kind: 'remove', nodeId: alive.nodeId })).toMatchObject({
    code: 'MEMBERS_QUORUM_UNSAFE',
    nodes: [dead.nodeId],
  })
  expect(leader.replica.members().version).toBe(0)
  await fleet.changeMembers({ kind: 'remove', nodeId: dead.nodeId })
  expect(leader.replica.members().forcedBecause).toBeUndefined()
  await fleet.join(4, 7004)
  await fleet.changeMembers({ kind: 'add', nodeId: id(4), host: '127.0.0.1', port: 7004 })
  const force = { reason: 'rehearsal of the disaster plan' }
  await fleet.changeMembers({ kind: 'promote', nodeId: id(4) }, { force })
  await eventually('all know why', () =>
    fleet.running.every(({ replica }) => replica.members().forcedBecause === 'rehearsal of the disaster plan'),
  )
})

test('a request that does not fit is refused, each with its code, and nothing changes', async () => {
  const leader = await start(3)
  const codeOf = async (request: MembersRequest) => (await refusal(request)).code
  const [own] = fleet.members
  expect(await codeOf({ kind: 'add', ...own! })).toBe('MEMBERS_UNCHANGED')
  expect(await codeOf({ kind: 'promote', nodeId: id(2) }), 'it votes already').toBe('MEMBERS_UNCHANGED')
  expect(await codeOf({ kind: 'promote', nodeId: id(7) })).toBe('MEMBERS_UNKNOWN_MEMBER')
  expect(await codeOf({ kind: 'demote', nodeId: id(7) })).toBe('MEMBERS_UNKNOWN_MEMBER')
  expect(await codeOf({ kind: 'remove', nodeId: id(7) })).toBe('MEMBERS_UNKNOWN_MEMBER')
  expect(await codeOf({ kind: 'replaceAll', voters: [], learners: [] })).toBe('MEMBERS_MALFORMED')
  const away = { nodeId: id(8), host: '127.0.0.1', port: 7008 }
  await fleet.changeMembers({ kind: 'add', ...away })
  expect(await codeOf({ kind: 'promote', nodeId: id(8) })).toBe('MEMBERS_NOT_CAUGHT_UP')
  const follower = fleet.followers(leader)[0]!
  await expect(follower.replica.changeMembers({ kind: 'remove', nodeId: id(8) })).rejects.toMatchObject({
    code: 'NOT_LEADER',
    leader: leader.nodeId,
  })
})

test('a learner that has not answered yet lags behind, also where its vote would be half of a majority', async () => {
  await start(1)
  await fleet.changeMembers({ kind: 'add', nodeId: id(8), host: '127.0.0.1', port: 7008 })
  expect(await refusal({ kind: 'promote', nodeId: id(8) })).toMatchObject({
    code: 'MEMBERS_NOT_CAUGHT_UP',
    retryable: true,
    nodes: [id(8)],
  })
})

test('two changes at once: the second is told to wait', async () => {
  const leader = await start(3)
  const add = (number: number) =>
    leader.replica.changeMembers({ kind: 'add', nodeId: id(number), host: '127.0.0.1', port: 7000 + number })
  const results = await Promise.allSettled([add(4), add(5)])
  expect(results[0]?.status).toBe('fulfilled')
  expect(results[1]).toMatchObject({ status: 'rejected', reason: { code: 'MEMBERS_CHANGE_PENDING', retryable: true } })
})

test('a change whose leader loses its majority has an unknown outcome', async () => {
  const leader = await start(3)
  for (const follower of fleet.followers(leader)) await fleet.crash(follower.nodeId)
  const request = { kind: 'add', nodeId: id(4), host: '127.0.0.1', port: 7004 } as const
  // The leader sees at once that nobody is connected.
  await expect(leader.replica.changeMembers(request)).rejects.toMatchObject({ code: 'MEMBERS_QUORUM_UNSAFE' })
  const changed = leader.replica.changeMembers(request, { force: { reason: 'a test' } })
  await expect(changed).rejects.toMatchObject({ code: 'MEMBERS_OUTCOME_UNKNOWN', retryable: true })
})

test('five voters become three others in one joint change', async () => {
  await start(5)
  const six = await fleet.join(6, 7006)
  await fleet.changeMembers({ kind: 'add', ...six })
  const leader = await fleet.leader()
  const staying = [
    leader.nodeId,
    ...fleet.followers(leader).flatMap(({ nodeId }) => (nodeId === 6 ? [] : [nodeId])),
  ].slice(0, 2)
  const voters = [...staying.map((nodeId) => fleet.members.find((member) => member.nodeId === nodeId)!), six]
  await eventually('the learner has it all', () => leader.replica.members().members.every(({ lag }) => lag === 0))
  await fleet.changeMembers({ kind: 'replaceAll', voters, learners: [] })
  const roles = Object.fromEntries([...staying, 6].sort((a, b) => a - b).map((nodeId) => [nodeId, 'voter']))
  await allSee(
    roles,
    fleet.running.filter(({ nodeId }) => String(nodeId) in roles),
  )
  await eventually('the others know', () =>
    fleet.running.every(({ nodeId, replica }) => String(nodeId) in roles || replica.status().removed === true),
  )
  ;(await fleet.leader()).propose('three')
  await eventually('applied', () => fleet.nodes.get(id(6))!.recorder.applied.includes('three'))
})

test('a node that was removed while it was away is told so by members that restarted from snapshots', async () => {
  await start(3, { segmentBytesMax: 16 * 1024, snapshotEntries: 100, snapshotBytes: 16 * 1024, tailEntries: 20 })
  await fleet.crash(id(3))
  const joined = await fleet.join(4, 7004)
  await fleet.changeMembers({ kind: 'add', ...joined })
  await fleet.changeMembers({ kind: 'promote', nodeId: id(4), replaces: id(3) })
  const leader = await fleet.leader()
  for (let n = 0; n < 300; n++) leader.propose(`p${n}`.padEnd(100, '.'))
  await fleet.applied(300)
  for (const { nodeId, replica } of fleet.running) {
    await eventually('a snapshot', () => replica.status().snapshot !== undefined)
    await fleet.stop(nodeId)
    await fleet.start(nodeId)
  }
  // It knows nothing of node 4, and neither hears its own removal in the log.
  await fleet.start(3)
  await eventually('it is told', () => fleet.nodes.get(id(3))!.replica.status().removed)
})
