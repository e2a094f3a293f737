import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ByteWriter, makeTxid, parseClusterId, parseNodeId, systemClock, type Txid } from '../../src/base/index.ts'
import { type Member, Replica } from '../../src/replica/index.ts'
import { RaftStorage } from '../../src/replica/raft-storage.ts'
import { listen, memoryNetwork, type Network, PROTOCOL_MAJOR, PROTOCOL_MINOR } from '../../src/transport/index.ts'
import { decodeCommands, encodeCommands, Ledger, type LedgerCommand } from '../../src/txn/index.ts'
import { nodeDisk } from '../../src/wal/index.ts'
import { type ExpectedState, expectedOf, releases, unpack } from './fixture.support.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }

let folder: string
let running: Node[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'concordat-compat-'))
})
afterEach(async () => {
  await Promise.all(running.map((node) => node.stop()))
  running = []
  rmSync(folder, { recursive: true, force: true })
})

/** Today's replica over an old directory, with a ledger as a coordinator keeps it. */
class Node {
  readonly ledger = new Ledger()
  readonly replica: Replica
  applied = 0
  leads = false
  #stopListening: () => Promise<void> = async () => {}

  private constructor(replica: Replica) {
    this.replica = replica
  }

  static async start(
    release: string,
    directory: string,
    nodeId: number,
    members: readonly Member[],
    network?: Network,
  ): Promise<Node> {
    const { cluster, segmentBytes } = expectedOf(release)
    const replica = await Replica.open({
      nodeId: parseNodeId(nodeId),
      clusterId: parseClusterId(cluster),
      members,
      directory,
      disk: nodeDisk,
      network,
      clock: systemClock,
      seed: 1,
      options: { segmentBytesMax: segmentBytes },
      logger: silent,
      onFatal: (error) => {
        throw error
      },
    })
    const node = new Node(replica)
    running.push(node)
    if (network !== undefined) await node.#listen(parseClusterId(cluster), members[nodeId - 1]!, network)
    await replica.start({
      apply: (payload) => node.#apply(payload),
      leading: () => {
        node.leads = true
      },
      following: () => {
        node.leads = false
      },
      freeze: () => node.ledger.freeze(),
      restore: () => node.ledger.restore(),
    })
    return node
  }

  async #listen(clusterId: ReturnType<typeof parseClusterId>, own: Member, network: Network): Promise<void> {
    const { replica } = this
    const version = { protocolMajor: PROTOCOL_MAJOR, protocolMinor: PROTOCOL_MINOR }
    const listener = await listen({
      network,
      host: own.host,
      port: own.port,
      clusterId,
      clock: systemClock,
      accept: (hello) =>
        replica.acceptPeer(hello) ??
        ({ kind: 'welcome', ...version, clusterId, node: replica.identity(), leader: undefined } as const),
      onConnection: (connection) => replica.addPeerConnection(connection),
    })
    this.#stopListening = () => listener.close()
  }

  #apply(payload: Uint8Array): void {
    for (const command of decodeCommands(payload)) this.ledger.apply(command, [])
    this.ledger.validate()
    this.applied++
  }

  propose(command: LedgerCommand): void {
    const writer = new ByteWriter()
    encodeCommands([command], writer)
    expect(this.replica.propose(writer.finish())).toEqual({ kind: 'accepted' })
  }

  async stop(): Promise<void> {
    running = running.filter((node) => node !== this)
    await this.#stopListening()
    await this.replica.close()
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

function expectState(node: Node, expected: ExpectedState): void {
  expect(node.applied).toBe(expected.applied)
  expect(node.ledger).toMatchObject(expected.counts)
  for (const [txid, outcome] of Object.entries(expected.outcomes)) {
    expect(node.ledger.knowledge(txid as Txid), txid).toEqual(outcome)
  }
  expect(node.ledger.digest()).toBe(expected.digest)
}

const member = (port: number, at: number): Member => ({ nodeId: parseNodeId(at + 1), host: '127.0.0.1', port })
const later = makeTxid(Date.UTC(2024, 0, 2), Buffer.alloc(10, 7))
const more: LedgerCommand = { kind: 'aborted', txid: later, reason: 'presumed', participant: undefined, branches: [] }

describe.each(releases())('data directories of release %s', (release) => {
  const expected = expectedOf(release)

  test('a group of one finds the state that it had, goes on, and finds that again', async () => {
    const directory = unpack(release, 'embedded', folder)
    const open = () => Node.start(release, directory, 1, [member(0, 0)])
    const node = await open()
    await until(() => node.leads)
    expect(node.replica.status().storeId).toBe(expected.embedded.storeId)
    expectState(node, expected.embedded)
    node.propose(more)
    await until(() => node.applied > expected.embedded.applied)
    const digest = node.ledger.digest()
    await node.stop()

    const again = await open()
    await until(() => again.leads)
    expect(again.ledger.digest()).toBe(digest)
    expect(again.ledger.knowledge(later)).toEqual({ kind: 'aborted', reason: 'presumed', participant: undefined })
  })

  test('a torn last write is cut, and the state is the one before it', async () => {
    const directory = unpack(release, 'torn', folder)
    const node = await Node.start(release, directory, 1, [member(0, 0)])
    await until(() => node.leads)
    expectState(node, expected.torn)
    expect(node.ledger.knowledge(expected.torn.tornTxid)).toEqual({ kind: 'unknown' })
  })

  test.each([1, 2, 3])('the log of node %d ends where it did, in the same term, with the same vote', async (number) => {
    const storage = await RaftStorage.open({
      disk: nodeDisk,
      directory: unpack(release, `fleet/node${number}`, folder),
      clusterId: parseClusterId(expected.cluster),
      nodeId: parseNodeId(number),
      segmentBytesMax: expected.segmentBytes,
      clock: systemClock,
      onFailure: (error) => {
        throw error
      },
    })
    const { storeId, currentTerm, votedFor, lastIndex } = expected.fleet.nodes[number - 1]!
    expect(storage.storeId).toBe(storeId)
    expect(storage.recovered.hardState).toMatchObject({ currentTerm, votedFor })
    expect(storage.recovered).toMatchObject({ lastIndex, baseIndex: 0, lastApplied: 0, doubtful: false })
    // Of the two terms the second begins before the end of what the first leader had alone: that was overwritten.
    expect(storage.recovered.termRuns.map(({ term }) => term)).toEqual([1, 2])
    expect(storage.recovered.termRuns[1]!.firstIndex).toBeLessThanOrEqual(expected.fleet.overwrittenUpTo)
    expect(storage.peers.size).toBe(2)
    await storage.close()
  })

  test('a fleet finds the state that it had, also the node whose entries were overwritten, and goes on', async () => {
    const network = memoryNetwork()
    const members = [7001, 7002, 7003].map(member)
    const directories = members.map((_, at) => unpack(release, `fleet/node${at + 1}`, folder))
    const start = (at: number) => Node.start(release, directories[at]!, at + 1, members, network)
    const nodes = await Promise.all([start(0), start(1), start(2)])
    await until(() => nodes.some((node) => node.leads))
    await until(() => nodes.every((node) => node.applied >= expected.fleet.applied))
    for (const node of nodes) expectState(node, expected.fleet)
    expect(nodes.map((node) => node.replica.status().storeId)).toEqual(
      expected.fleet.nodes.map(({ storeId }) => storeId),
    )

    nodes.find((node) => node.leads)!.propose(more)
    await until(() => nodes.every((node) => node.applied > expected.fleet.applied))
    const digests = nodes.map((node) => node.ledger.digest())
    await nodes[0]!.stop()
    const again = await start(0)
    await until(() => again.applied > expected.fleet.applied)
    expect(new Set([...digests, again.ledger.digest()]).size).toBe(1)
  })
})
