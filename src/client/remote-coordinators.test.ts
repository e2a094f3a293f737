import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type BranchId, makeTxid, parseBranchId, parseClusterId, systemClock } from '../base/index.ts'
import type { CommitRequest, Reply } from '../coordinator/index.ts'
import { tcpNetwork } from '../transport/index.ts'
import type { BranchRecord } from '../txn/index.ts'
import { FakeFleet, refused } from './fake-coordinators.support.ts'
import { silentLogger } from './logger.ts'
import { RemoteCoordinators } from './remote-coordinators.ts'

const BRANCH: BranchRecord = {
  branch: parseBranchId(0),
  kind: 'local',
  participant: 'flights',
  vote: 'commit',
  evidence: '7',
}
const COMMITTED: Reply = { kind: 'outcome', outcome: { kind: 'committed' } }

let fleet: FakeFleet
const ports: RemoteCoordinators[] = []

beforeEach(async () => {
  fleet = await FakeFleet.start(3)
})
afterEach(async () => {
  for (const port of ports.splice(0)) await port.close()
  await fleet.close()
})

function connect(addresses = fleet.addresses, clusterId?: string): RemoteCoordinators {
  const port = new RemoteCoordinators({
    addresses,
    tls: undefined,
    name: 'test',
    clusterId: clusterId === undefined ? undefined : parseClusterId(clusterId),
    network: tcpNetwork(),
    clock: systemClock,
    random: Math.random,
    logger: silentLogger,
  })
  ports.push(port)
  return port
}

function request(timeoutMs = 5_000): CommitRequest {
  const txid = makeTxid(Date.now(), randomBytes(10))
  return { clusterId: fleet.clusterId, txid, timeoutMs, branches: [BRANCH] }
}

const [, node2] = [1, 2, 3].map((number) => number as never)

describe('who leads', () => {
  test('the cluster id comes from the first coordinator that is met, and is kept', async () => {
    const port = connect()
    expect(await port.clusterId({ timeoutMs: 2_000 })).toBe('fake')
    await fleet.close()
    expect(await port.clusterId({ timeoutMs: 1 })).toBe('fake')
  })

  test('a request goes to the leader, whichever coordinator was named', async () => {
    fleet.leader = node2
    const port = connect([fleet.addresses[2]!])
    expect(await port.commit(request())).toEqual(COMMITTED)
    expect(fleet.nodes.map((node) => node.got('commit').length)).toEqual([0, 1, 0])
  })

  test('each coordinator is connected once, although hints know it by another name than we do', async () => {
    fleet.leader = node2
    const port = connect(fleet.addresses.map(({ port: number }) => ({ host: 'localhost', port: number })))
    expect(await port.commit(request())).toEqual(COMMITTED)
    await expect.poll(() => fleet.nodes.map((node) => node.connections)).toEqual([1, 1, 1])
  })

  test('without any coordinator the cluster id is unavailable, and the error names the address', async () => {
    await fleet.close()
    const error = await connect()
      .clusterId({ timeoutMs: 100 })
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'COORDINATOR_UNAVAILABLE', retryable: true })
    expect((error as Error).message).toContain(`127.0.0.1:${fleet.nodes[0]!.port}`)
    expect((error as Error).cause).toMatchObject({ code: 'CONNECT_FAILED' })
  })

  test('a coordinator of another cluster is never asked', async () => {
    for (const node of fleet.nodes.slice(1)) node.clusterId = parseClusterId('other')
    fleet.leader = node2
    const reply = await connect(fleet.addresses, 'fake').commit(request(150))
    expect(reply).toMatchObject({ kind: 'refused', code: 'NOT_LEADER' })
    expect(fleet.nodes[1]!.got('commit')).toEqual([])
  })
})

describe('a request until its answer', () => {
  test('many are in flight on one connection, and each gets its own answer', async () => {
    const waiting: (() => void)[] = []
    fleet.answer = (message, node) => {
      const outcome = { kind: 'aborted', reason: 'requested', participant: message.txid } as const
      waiting.push(() => node.push({ kind: 'outcome', requestId: message.requestId, txid: message.txid, outcome }))
      if (waiting.length === 50) for (const answer of waiting.reverse()) answer()
      return undefined
    }
    const port = connect()
    const requests = Array.from({ length: 50 }, () => request())
    const replies = await Promise.all(requests.map((one) => port.commit(one)))
    expect(
      replies.map((reply) => reply.kind === 'outcome' && 'participant' in reply.outcome && reply.outcome.participant),
    ).toEqual(requests.map(({ txid }) => txid))
  })

  test('the leader dies with it: the same txid goes to the next leader at once, with the time that is left', async () => {
    fleet.answer = () => undefined
    const port = connect()
    const asked = request()
    const reply = port.commit(asked)
    await expect.poll(() => fleet.nodes[0]!.got('commit').length).toBe(1)
    await fleet.nodes[0]!.stop()
    fleet.answer = ({ requestId, txid }) => ({ kind: 'outcome', requestId, txid, outcome: { kind: 'committed' } })
    fleet.elect(node2)
    expect(await reply).toEqual(COMMITTED)
    const [again] = fleet.nodes[1]!.got('commit')
    expect(again).toMatchObject({ txid: asked.txid, branches: asked.branches })
    expect(again!.timeoutMs).toBeLessThanOrEqual(asked.timeoutMs)
  })

  test('a leader that is stopped without closing its connection is left as soon as another is elected', async () => {
    fleet.answer = (message, node) => (node.nodeId === node2 ? commit(message) : undefined)
    const port = connect()
    const reply = port.commit(request())
    await expect.poll(() => fleet.nodes[0]!.got('commit').length).toBe(1)
    fleet.elect(node2)
    expect(await reply).toEqual(COMMITTED)
  })

  test('sent and not answered is pending, although the next coordinator says that it did nothing', async () => {
    fleet.answer = () => undefined
    const port = connect()
    const reply = port.commit(request(400))
    await expect.poll(() => fleet.nodes[0]!.got('commit').length).toBe(1)
    await fleet.nodes[0]!.stop()
    fleet.answer = ({ requestId }) => refused(requestId, 'OVERLOADED', true)
    fleet.elect(node2)
    expect(await reply).toMatchObject({ kind: 'refused', code: 'OUTCOME_PENDING', retryable: true })
  })

  test('an election that nobody wins in time is no leader for a request that was never sent: nothing was done', async () => {
    fleet.leader = undefined
    expect(await connect().commit(request(200))).toMatchObject({ kind: 'refused', code: 'NOT_LEADER' })
    expect(fleet.nodes.flatMap((node) => node.got('commit'))).toEqual([])
  })

  test('refused by a leader that stepped down, with nobody after it, is still nothing done', async () => {
    fleet.answer = ({ requestId }) => {
      fleet.leader = undefined
      return refused(requestId, 'NOT_LEADER', true)
    }
    const port = connect()
    const replies = await Promise.all([port.commit(request(300)), port.commit(request(300)), port.commit(request(300))])
    expect(replies.map((reply) => reply.kind === 'refused' && reply.code)).toEqual(Array(3).fill('NOT_LEADER'))
  })

  test('what a moment later may succeed is repeated, with back-off', async () => {
    let count = 0
    fleet.answer = (message) => {
      count += 1
      return count < 3 ? refused(message.requestId, 'OVERLOADED', true) : commit(message)
    }
    expect(await connect().commit(request())).toEqual(COMMITTED)
    expect(count).toBe(3)
  })

  test.each([['TXN_TOO_OLD', false] as const, ['DISK_FULL', true] as const])('%s is final', async (code, retryable) => {
    fleet.answer = ({ requestId }) => refused(requestId, code, retryable)
    expect(await connect().commit(request())).toMatchObject({ kind: 'refused', code })
    expect(fleet.nodes[0]!.got('commit')).toHaveLength(1)
  })

  test('once an attempt is pending, "too old" is no answer any more: it may have been committed before', async () => {
    let count = 0
    fleet.answer = ({ requestId }) => {
      count += 1
      return count === 1 ? refused(requestId, 'OUTCOME_PENDING', true) : refused(requestId, 'TXN_TOO_OLD', false)
    }
    expect(await connect().commit(request())).toMatchObject({ kind: 'refused', code: 'OUTCOME_PENDING' })
  })

  test('close() ends what is under way as pending', async () => {
    fleet.answer = () => undefined
    const port = connect()
    const reply = port.commit(request())
    await expect.poll(() => fleet.nodes[0]!.got('commit').length).toBe(1)
    await port.close()
    expect(await reply).toMatchObject({ kind: 'refused', code: 'OUTCOME_PENDING' })
  })
})

describe('ACKs', () => {
  const branches = [0 as BranchId, 1 as BranchId]

  test('go to the leader, and again to the next one, because the first may have lost them', async () => {
    const port = connect()
    const { txid } = request()
    await port.commit(request())
    port.ack(txid, branches)
    await expect.poll(() => fleet.nodes[0]!.got('ack')).toEqual([{ kind: 'ack', txid, branches }])
    fleet.elect(node2)
    await expect.poll(() => fleet.nodes[1]!.got('ack')[0]).toEqual({ kind: 'ack', txid, branches })
  })

  test('go again to a leader that others named too early, once it says itself that it leads', async () => {
    const port = connect()
    const { txid } = request()
    await port.commit(request())
    port.ack(txid, branches)
    await expect.poll(() => fleet.nodes[0]!.got('ack').length).toBe(1)
    fleet.leader = node2
    fleet.nodes[2]!.push({ kind: 'leader', leader: fleet.hint() })
    // It can't count them yet: an ACK that comes before the term's first entry is applied is dropped.
    await expect.poll(() => fleet.nodes[1]!.got('ack').length).toBe(1)
    fleet.nodes[1]!.push({ kind: 'leader', leader: fleet.hint() })
    await expect.poll(() => fleet.nodes[1]!.got('ack').length).toBe(2)
  })

  test('wait for a leader when there is none', async () => {
    fleet.leader = undefined
    const port = connect()
    await port.clusterId({ timeoutMs: 2_000 })
    const { txid } = request()
    port.ack(txid, branches)
    fleet.elect(node2)
    await expect.poll(() => fleet.nodes[1]!.got('ack')).toEqual([{ kind: 'ack', txid, branches }])
  })
})

function commit(message: { readonly requestId: number; readonly txid: CommitRequest['txid'] }) {
  return { kind: 'outcome', requestId: message.requestId, txid: message.txid, outcome: { kind: 'committed' } } as const
}
