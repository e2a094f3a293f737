import { expect, test } from 'vitest'
import { parseNodeId } from '../base/index.ts'
import { type LogIndex, simpleConfiguration } from '../raft/index.ts'
import { type Hello, memoryNetwork, type NodeIdentity, PROTOCOL_MAJOR, PROTOCOL_MINOR } from '../transport/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { Admission } from './admission.ts'
import { CLUSTER, membersOn, replicaOptions } from './fleet.support.ts'
import { MemberList } from './member-list.ts'
import { PeerIdentities } from './peer-identities.ts'

const US = parseNodeId(1)
const NO_CONTEXT = new Uint8Array(0)

function identity(nodeId: number, durableIndex = 0): NodeIdentity {
  return { nodeId: parseNodeId(nodeId), storeId: 'ab'.repeat(16), durableIndex }
}

function hello(node: NodeIdentity): Hello {
  return {
    kind: 'hello',
    protocolMajor: PROTOCOL_MAJOR,
    protocolMinor: PROTOCOL_MINOR,
    role: 'peer',
    clusterId: CLUSTER,
    node,
    name: 'a peer',
  }
}

/** What node 1 answers when it has applied entry 9, and these are the members. */
function answer(members: MemberList, node: NodeIdentity): string {
  const disk = new MemoryDisk()
  const seams = { network: memoryNetwork(), disk, directory: '/log', members: membersOn([7001, 7002]), nodeId: US }
  const admission = new Admission({
    replica: replicaOptions(seams, (error) => expect.unreachable(error.message)),
    identities: new PeerIdentities(new Map()),
    members: () => members,
    self: () => identity(US),
    appliedIndex: () => 9,
    conflictWith: () => undefined,
  })
  return admission.judge(hello(node))?.code ?? 'welcome'
}

test('a node that is removed is welcome until that is confirmed: those who stay may need its word', () => {
  const three = MemberList.bootstrap(membersOn([7001, 7002, 7003]))
  const removal = { configuration: { ...simpleConfiguration([US, parseNodeId(2)]), retired: [parseNodeId(3)] } }
  const removed = three.next({ ...removal, context: NO_CONTEXT, index: 5 as LogIndex })
  expect(answer(removed, identity(3))).toBe('welcome')
  const confirmed = removed.next({ ...removal, context: NO_CONTEXT, index: 6 as LogIndex })
  expect(answer(confirmed, identity(3))).toBe('NODE_REMOVED')
  expect(answer(confirmed, identity(3, 99)), 'however long its log is').toBe('NODE_REMOVED')
})

test('a stranger is welcome only when its log may hold members that are not known here', () => {
  const two = MemberList.bootstrap(membersOn([7001, 7002]))
  expect(answer(two, identity(2))).toBe('welcome')
  expect(answer(two, identity(7, 9))).toBe('NODE_NOT_MEMBER')
  expect(answer(two, identity(7, 10))).toBe('welcome')
})
