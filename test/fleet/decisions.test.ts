import { expect, test } from 'vitest'
import { systemClock } from '../../src/base/index.ts'
import { askLeader } from '../../src/server/index.ts'
import { type ClientMessage, dial, type ServerMessage, tcpNetwork } from '../../src/transport/index.ts'
import { asCluster, BOTH, Decisions, newTxid } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { pause, until } from '../support/waiting.support.ts'

test('three coordinators elect one leader, and all of them agree who it is', async () => {
  const fleet = await Fleet.start()
  const leader = await fleet.leader()
  await fleet.whole()
  const statuses = await Promise.all(fleet.ids.map((id) => fleet.status(id)))
  expect(statuses.map((status) => status?.leader)).toEqual([leader.node, leader.node, leader.node])
  expect(statuses.filter((status) => status?.serving)).toHaveLength(1)
  expect(new Set(statuses.map((status) => status?.term)).size).toBe(1)
})

test('P2, P3: what was answered before, during and after kill -9 of the leader holds at every coordinator', async () => {
  const fleet = await Fleet.start()
  const port = fleet.port()
  const decisions = new Decisions(fleet)
  decisions.start(port, 64)
  await until('decisions flow', () => decisions.committed.length > 200)
  const first = await fleet.leader()
  await fleet.kill(first.node)
  const before = decisions.committed.length
  await until('decisions flow again', () => decisions.committed.length > before + 200)
  await decisions.stop()
  expect(decisions.aborted.length).toBeGreaterThan(0)

  // The leadership goes round, so that in the end each of the three has given all the answers.
  const asked = new Set<number>()
  for (let round = 0; asked.size < 3 && round < 12; round++) {
    const { node } = await fleet.leader()
    if (!asked.has(node)) await decisions.holdAtLeader(port)
    asked.add(node)
    for (const id of fleet.ids) fleet.start(id)
    await fleet.whole()
    if (asked.size < 3) await fleet.kill((await fleet.leader()).node)
  }
  expect([...asked].sort()).toEqual([1, 2, 3])
})

test('P3: everything that was decided is still decided after all three lost their power at once', async () => {
  const fleet = await Fleet.start()
  const port = fleet.port()
  const decisions = new Decisions(fleet)
  decisions.start(port, 64)
  for (let round = 1; round <= 3; round++) {
    const before = decisions.committed.length
    await until('decisions flow', () => decisions.committed.length > before + 200)
    await fleet.kill(...fleet.ids)
    fleet.startAll()
    await fleet.leader()
  }
  await decisions.stop()
  await decisions.holdAtLeader(port)
})

test('P6, P8: one of three decides nothing and says so; with a second one back it all goes on', async () => {
  const fleet = await Fleet.start()
  const port = fleet.port()
  const decisions = new Decisions(fleet)
  for (let i = 0; i < 20; i++) await decisions.decide(port, 5_000)
  const { node: leader } = await fleet.leader()
  const survivor = fleet.ids.find((id) => id !== leader)!
  await fleet.kill(...fleet.ids.filter((id) => id !== survivor))

  const commitIndex = (await fleet.status(survivor))?.commitIndex
  const replies = await Promise.all(Array.from({ length: 5 }, () => decisions.decide(port, 1_000)))
  expect(replies.map(({ kind }) => kind)).toEqual(Array(5).fill('refused'))
  for (const reply of replies) expect(reply).toMatchObject({ retryable: true })
  const alone = await fleet.status(survivor)
  expect(alone).toMatchObject({ serving: false })
  // An entry that was under way when the others died may have been committed already; nothing new is.
  expect((await fleet.status(survivor))?.commitIndex).toBe(alone?.commitIndex)
  expect(alone?.commitIndex).toBe(commitIndex)

  fleet.start(leader)
  await fleet.leader()
  const reply = await decisions.decide(port, 20_000)
  expect(reply).toMatchObject({ kind: 'outcome', outcome: { kind: 'committed' } })
  await decisions.holdAtLeader(port)
})

test('a leader that was stopped for longer than an election answers nothing stale when it wakes', async () => {
  const fleet = await Fleet.start()
  const port = fleet.port()
  await port.clusterId({ timeoutMs: 5_000 })
  const { node: old, term } = await fleet.leader()
  const line = await openLine(fleet.addressOf(old))
  const [committed, settled] = [newTxid(), newTxid()]
  const clusterId = asCluster(fleet.cluster)

  fleet.signal(old, 'SIGSTOP')
  const next = await fleet.leader(old)
  expect(next.term).toBeGreaterThan(term)
  const others = fleet.addresses.filter((address) => address !== fleet.addressOf(old))
  const settle = { method: 'outcome', txid: settled, cluster: undefined, settle: true } as const
  expect(await askLeader(others, settle, { timeoutMs: 5_000 })).toMatchObject({ kind: 'aborted', reason: 'presumed' })
  expect(await port.commit({ clusterId, txid: committed, timeoutMs: 10_000, branches: BOTH })).toMatchObject({
    outcome: { kind: 'committed' },
  })
  // These wait in the stopped leader's socket: it reads them before it can have heard of the new term.
  line.send({ kind: 'inquire', requestId: 1, clusterId, txid: committed, settle: false })
  line.send({ kind: 'commit', requestId: 2, clusterId, txid: settled, timeoutMs: 5_000, branches: BOTH })
  line.send({ kind: 'inquire', requestId: 3, clusterId, txid: committed, settle: true })
  await pause(100)
  fleet.signal(old, 'SIGCONT')

  await until('the old leader answers, or hangs up', () => line.answers.size === 3 || line.closed)
  for (const [requestId, answer] of line.answers) {
    if (answer.kind === 'refused') expect(['NOT_LEADER', 'OUTCOME_PENDING']).toContain(answer.code)
    else expect(answer).toMatchObject({ outcome: { kind: requestId === 2 ? 'aborted' : 'committed' } })
  }
  expect(line.answers.size + (line.closed ? 1 : 0)).toBeGreaterThan(0)
  expect(await fleet.outcome(committed)).toEqual({ kind: 'committed' })
  expect(await fleet.outcome(settled)).toMatchObject({ kind: 'aborted' })
})

test('SIGTERM: a leader under load finishes what is under way, exits with 0, and no answer is lost', async () => {
  const fleet = await Fleet.start()
  const port = fleet.port()
  const decisions = new Decisions(fleet)
  decisions.start(port, 64)
  for (let round = 1; round <= 3; round++) {
    const before = decisions.committed.length
    await until('decisions flow', () => decisions.committed.length > before + 100)
    const { node } = await fleet.leader()
    expect(await fleet.end(node, 'SIGTERM')).toEqual({ code: 0, signal: null })
    fleet.start(node)
  }
  await decisions.stop()
  await decisions.holdAtLeader(port)
  const refused = [...decisions.answers.values()].filter(({ kind }) => kind === 'refused')
  expect(refused, 'a drained leader answers what it took, and the next one answers the rest').toEqual([])
})

interface Line {
  readonly answers: Map<number, ServerMessage & { kind: 'outcome' | 'refused' }>
  closed: boolean
  send(message: ClientMessage): void
}

/** A bare connection to one coordinator, leader or not. */
async function openLine(address: string): Promise<Line> {
  const connection = await dial({
    network: tcpNetwork(),
    host: '127.0.0.1',
    port: Number(address.split(':')[1]),
    clock: systemClock,
    hello: {
      kind: 'hello',
      protocolMajor: 1,
      protocolMinor: 0,
      role: 'client',
      clusterId: undefined,
      node: undefined,
      name: 'line',
    },
  })
  const line: Line = { answers: new Map(), closed: false, send: (message) => void connection.send(message) }
  connection.onMessage = (message) => {
    if (message.kind === 'outcome' || message.kind === 'refused') line.answers.set(message.requestId, message)
  }
  connection.onClose = () => {
    line.closed = true
  }
  return line
}
