import { afterEach, expect, test } from 'vitest'
import { parseNodeId } from '../base/index.ts'
import { type Hello, PROTOCOL_MAJOR, PROTOCOL_MINOR } from '../transport/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { CLUSTER, eventually, Fleet, TestNode } from './fleet.support.ts'

let fleet: Fleet
const clones: TestNode[] = []

const id = parseNodeId

afterEach(async () => {
  await Promise.all(clones.splice(0).map((clone) => clone.stop()))
  await fleet.stopAll()
})

async function startThree(): Promise<TestNode> {
  fleet = new Fleet()
  await fleet.start()
  const leader = await fleet.leader()
  await eventually('all are connected', () =>
    fleet.running.every(({ replica }) => replica.status().peers.every(({ connected }) => connected)),
  )
  return leader
}

function helloOf({ replica }: TestNode, changes: Partial<NonNullable<Hello['node']>> = {}): Hello {
  const node = { ...replica.identity(), ...changes }
  const version = { protocolMajor: PROTOCOL_MAJOR, protocolMinor: PROTOCOL_MINOR }
  return { kind: 'hello', ...version, role: 'peer', clusterId: CLUSTER, node, name: 'test' }
}

const codeOf = (node: TestNode, hello: Hello) => node.replica.acceptPeer(hello)?.code

test('NODE_RUNS_TWICE: a copy of a directory that runs at the same time is kept out, while the first one works on', async () => {
  const leader = await startThree()
  const first = fleet.followers(leader)[0]!
  leader.propose('before')
  await fleet.applied(1)
  // At another address: at its own the port is taken, so a second process would not even start.
  const members = fleet.members.map((each) => (each.nodeId === first.nodeId ? { ...each, port: 7099 } : each))
  const clone = await TestNode.start({
    network: fleet.network,
    members,
    nodeId: first.nodeId,
    disk: await copyOf(fleet.diskOf(first.nodeId)),
    directory: '/log',
  })
  clones.push(clone)
  expect(clone.replica.identity().storeId).toBe(first.replica.identity().storeId)
  await eventually('it is refused by both', () =>
    fleet.running.filter((node) => node !== first).every(({ rejections }) => rejections.some(isTwice)),
  )
  leader.propose('after')
  await fleet.applied(2)
  expect(clone.recorder.applied, 'the copy hears nothing').not.toContain('after')
  expect(clone.replica.status().raft.role).not.toBe('leader')
  // Not even when the first one is gone: by now it lacks what the first one acknowledged.
  await fleet.stop(first.nodeId)
  await eventually('it ended', () => clone.fatal.length > 0)
  expect(clone.fatal).toEqual([expect.objectContaining({ code: 'NODE_STORE_OLD' })])
  expect(clone.recorder.applied).not.toContain('after')
})

/** What somebody copies who takes a backup for a second node. */
async function copyOf(disk: MemoryDisk): Promise<MemoryDisk> {
  const copy = new MemoryDisk()
  await copy.makeDirectory('/log')
  for (const path of disk.paths.filter((each) => each.endsWith('.wal'))) {
    await (await copy.openFile(path, { create: true })).close()
    copy.overwrite(path, disk.contentOf(path))
  }
  return copy
}

const isTwice = ({ code }: { readonly code: string }) => code === 'NODE_RUNS_TWICE'

test('NODE_RUNS_TWICE: a second process under our own id and directory is told so, and is not taken for ourselves', async () => {
  const leader = await startThree()
  const other = fleet.followers(leader)[0]!
  const { run } = leader.replica.identity()
  const second = { run: { incarnation: run!.incarnation + 1, doubtful: false } }
  expect(codeOf(leader, helloOf(leader, second))).toBe('NODE_RUNS_TWICE')
  expect(codeOf(leader, helloOf(leader))).toBe('NODE_NOT_MEMBER')
  expect(codeOf(leader, helloOf(other, second))).toBe('NODE_RUNS_TWICE')
  expect(codeOf(leader, helloOf(other))).toBeUndefined()
})

test('a release that does not tell its runs apart is let in as before', async () => {
  const leader = await startThree()
  const { run: _, ...node } = fleet.followers(leader)[0]!.replica.identity()
  expect(codeOf(leader, { ...helloOf(leader), node })).toBeUndefined()
})

test('a stranger whose log reaches no further than ours has nothing to tell us; one that does may be a member we missed', async () => {
  const leader = await startThree()
  const stranger = helloOf(leader, { nodeId: id(9), storeId: 'ab'.repeat(16) })
  expect(codeOf(leader, stranger)).toBe('NODE_NOT_MEMBER')
  const durableIndex = leader.replica.status().raft.lastApplied + 1
  const ahead = helloOf(leader, { nodeId: id(9), storeId: 'ab'.repeat(16), durableIndex })
  expect(codeOf(leader, ahead)).toBeUndefined()
  const other = helloOf(leader, { nodeId: id(9), storeId: 'cd'.repeat(16), durableIndex })
  expect(codeOf(leader, other), 'whoever is no member binds no id').toBeUndefined()
})

test('a node that says that it lost something may have less than it acknowledged', async () => {
  const leader = await startThree()
  for (let at = 0; at < 10; at++) leader.propose(`p${at}`)
  await fleet.applied(10)
  const follower = fleet.followers(leader)[0]!
  const own = helloOf(follower)
  await fleet.stop(follower.nodeId)
  await eventually('it is known to be gone', () => leader.replica.status().peers.some(({ connected }) => !connected))
  // A run that was found whole once is not measured again, so each of these is another one.
  let incarnation = own.node!.run!.incarnation
  const codeOfLacking = (doubtful: boolean) => {
    incarnation++
    return codeOf(leader, { ...own, node: { ...own.node!, durableIndex: 1, run: { incarnation, doubtful } } })
  }
  await eventually('what it acknowledged is known', () => codeOfLacking(false) === 'NODE_STORE_OLD')
  expect(codeOfLacking(true)).toBeUndefined()
})

test('one peer that knows a healthy node by a wrong directory keeps it from itself only, until the members change', async () => {
  const leader = await startThree()
  const [mistaken, healthy] = fleet.followers(leader) as [TestNode, TestNode]
  const ids = { mistaken: mistaken.nodeId, healthy: healthy.nodeId }
  await fleet.stop(ids.healthy)
  await fleet.stop(ids.mistaken)
  // This node forgets all: when it meets the id for the first time, a wrong directory has it.
  fleet.disks.set(ids.mistaken, new MemoryDisk())
  await fleet.stop(leader.nodeId)
  fleet.disks.set(leader.nodeId, new MemoryDisk())
  await fleet.start(ids.mistaken)
  const wrong = helloOf(fleet.nodes.get(ids.mistaken)!, { nodeId: ids.healthy, storeId: 'ee'.repeat(16) })
  expect(codeOf(fleet.nodes.get(ids.mistaken)!, wrong)).toBeUndefined()
  fleet.disks.set(ids.healthy, new MemoryDisk())
  await fleet.start(leader.nodeId, ids.healthy)
  const found = await fleet.leader()
  await eventually('it is refused', () =>
    fleet.nodes.get(ids.mistaken)!.rejections.some(({ code }) => code === 'NODE_STORE_CHANGED'),
  )
  expect(fleet.running.flatMap(({ fatal }) => fatal)).toEqual([])
  // The leader of a group in which somebody is cut off may be any of the three; it knows two directories at least.
  if (found.nodeId === ids.mistaken) await found.replica.transferLeadership(leader.nodeId)
  const next = await eventually('a leader with good knowledge', () =>
    fleet.running.find(({ recorder, nodeId }) => recorder.leads && nodeId !== ids.mistaken),
  )
  await next.replica.changeMembers({ kind: 'add', nodeId: id(4), host: '127.0.0.1', port: 7004 })
  await eventually('the log put it right', () =>
    fleet.nodes
      .get(ids.mistaken)!
      .replica.status()
      .peers.every(({ nodeId, connected }) => connected || nodeId === 4),
  )
  next.propose('all')
  await fleet.applied(1)
})
