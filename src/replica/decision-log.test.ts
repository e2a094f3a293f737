import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryNetwork, type Network, tcpNetwork } from '../transport/index.ts'
import { type Disk, MemoryDisk, nodeDisk } from '../wal/index.ts'
import { decisionLogContract, type LogGroup } from './decision-log.contract.ts'
import { membersOn, TestNode } from './fleet.support.ts'
import type { Member } from './options.ts'

interface World {
  readonly network: Network
  readonly members: readonly Member[]
  readonly placeOf: (member: Member) => { readonly disk: Disk; readonly directory: string }
  readonly remove: () => Promise<void>
}

/** All nodes of `world`, opened and listening, but not started. */
async function openGroup(world: World): Promise<LogGroup> {
  const { network, members } = world
  const nodes: TestNode[] = []
  for (const member of members) {
    nodes.push(await TestNode.open({ network, members, nodeId: member.nodeId, ...world.placeOf(member) }))
  }
  const stop = async () => {
    for (const node of nodes) await node.stop()
  }
  return {
    logs: nodes.map((node) => node.replica),
    reopen: async () => {
      await stop()
      return openGroup(world)
    },
    close: async () => {
      await stop()
      await world.remove()
    },
  }
}

function inMemory(count: number): Promise<LogGroup> {
  const disks = Array.from({ length: count }, () => new MemoryDisk())
  return openGroup({
    network: memoryNetwork(),
    members: membersOn(disks.map((_, at) => 7001 + at)),
    placeOf: ({ nodeId }) => ({ disk: disks[nodeId - 1]!, directory: '/log' }),
    remove: async () => {},
  })
}

async function onDisk(count: number): Promise<LogGroup> {
  const root = await mkdtemp(join(tmpdir(), 'concordat-replica-'))
  const ports: number[] = []
  for (let i = 0; i < count; i++) ports.push(await freePort())
  return openGroup({
    network: tcpNetwork(),
    members: membersOn(ports),
    placeOf: ({ nodeId }) => ({ disk: nodeDisk, directory: join(root, `node-${nodeId}`) }),
    remove: () => rm(root, { recursive: true }),
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

decisionLogContract('one node, in memory', () => inMemory(1))
decisionLogContract('one node, on the disk', () => onDisk(1))
decisionLogContract('three nodes, in memory', () => inMemory(3))
decisionLogContract('three nodes, on the disk and over TCP', () => onDisk(3))
