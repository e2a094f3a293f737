import { afterEach, beforeEach, expect, test } from 'vitest'
import { type NodeId, parseNodeId, systemClock } from '../base/index.ts'
import type { LogIndex, Term } from '../raft/index.ts'
import {
  type Connection,
  dial,
  type Listener,
  listen,
  memoryNetwork,
  type NodeIdentity,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
} from '../transport/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { CLUSTER, eventually, membersOn, replicaOptions } from './fleet.support.ts'
import { PeerIdentities } from './peer-identities.ts'
import { PeerLinks } from './peer-links.ts'

const THEM = parseNodeId(1)
const US = parseNodeId(2)
const PORTS = { [THEM]: 7001, [US]: 7002 }
const APPEND = {
  kind: 'appendEntries',
  from: THEM,
  to: US,
  term: 1 as Term,
  prevLogIndex: 0 as LogIndex,
  prevLogTerm: 0 as Term,
  leaderCommit: 0 as LogIndex,
  readRound: 0,
  entries: [],
} as const

const network = memoryNetwork()
let told: string[]
let links: PeerLinks
let ours: Listener
let theirs: Listener
/** What they dialled. */
let theirOwn: Connection

beforeEach(async () => {
  told = []
  const replica = replicaOptions(
    { network, disk: new MemoryDisk(), directory: '/log', members: membersOn([7001, 7002]), nodeId: US },
    (error) => expect.unreachable(error.message),
  )
  links = new PeerLinks({
    replica,
    protocolMinor: PROTOCOL_MINOR,
    identities: new PeerIdentities(new Map()),
    identity: () => identityOf(US),
    onMessage: ({ kind }) => told.push(kind),
    onAccepted: () => {},
    onUnreachable: (peer) => told.push(`unreachable ${peer}`),
    onRejected: (_, error) => expect.unreachable(error.message),
  })
  theirs = await listenAs(THEM, () => {})
  ours = await listenAs(US, (connection) => links.accept(connection, THEM))
  links.dial(new Map([[THEM, { host: '127.0.0.1', port: PORTS[THEM]! }]]))
  const hello = {
    kind: 'hello',
    protocolMajor: PROTOCOL_MAJOR,
    protocolMinor: PROTOCOL_MINOR,
    role: 'peer',
    clusterId: CLUSTER,
    node: identityOf(THEM),
    name: 'node 1',
  } as const
  theirOwn = await dial({ network, host: '127.0.0.1', port: PORTS[US]!, hello, clock: systemClock })
  await eventually('both ways are open', () => links.isConnected(THEM))
})

afterEach(async () => {
  links.close()
  theirOwn.close('the test is over')
  await theirs.close()
  await ours.close()
})

test('a peer whose last word comes when our own connection is gone is unreachable once more behind it', async () => {
  await theirs.close()
  await eventually('our connection broke', () => told.length === 1)
  theirOwn.send(APPEND)
  await eventually('their last word came', () => told.length === 2)
  theirOwn.close('it died')
  await eventually('their connection broke', () => told.length === 3)
  expect(told).toEqual(['unreachable 1', 'appendEntries', 'unreachable 1'])
})

test('the end of what a peer dialled says nothing while our own connection stands', async () => {
  theirOwn.send(APPEND)
  theirOwn.close('it dials anew')
  await eventually('theirs is gone', () => ours.connections.size === 0)
  await theirs.close()
  await eventually('ours is gone as well', () => told.length === 2)
  expect(told).toEqual(['appendEntries', 'unreachable 1'])
})

function listenAs(nodeId: NodeId, onConnection: (connection: Connection) => void): Promise<Listener> {
  return listen({
    network,
    host: '127.0.0.1',
    port: PORTS[nodeId]!,
    clusterId: CLUSTER,
    clock: systemClock,
    accept: () => ({
      kind: 'welcome',
      protocolMajor: PROTOCOL_MAJOR,
      protocolMinor: PROTOCOL_MINOR,
      clusterId: CLUSTER,
      node: identityOf(nodeId),
      leader: undefined,
    }),
    onConnection,
  })
}

function identityOf(nodeId: NodeId): NodeIdentity {
  const run = { incarnation: nodeId, doubtful: false }
  return { nodeId, storeId: String(nodeId).repeat(32), durableIndex: 0, run }
}
