import { expect, test } from 'vitest'
import { Decisions } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { pause, until } from '../support/waiting.support.ts'

/** Longer than four election timeouts, and than the silence that closes a connection. */
const FROZEN_MS = 4_000

test('a follower that was frozen (SIGSTOP) for longer than an election wakes up, disturbs nobody and catches up', async () => {
  const fleet = await Fleet.start()
  const port = fleet.port()
  const decisions = new Decisions(fleet)
  decisions.start(port, 32)
  await until('decisions flow', () => decisions.committed.length > 100)
  const { node: leader, term } = await fleet.leader()
  const frozen = fleet.ids.find((id) => id !== leader)!
  fleet.signal(frozen, 'SIGSTOP')
  const before = decisions.committed.length
  await pause(FROZEN_MS)
  expect(decisions.committed.length, 'two of three go on').toBeGreaterThan(before)
  fleet.signal(frozen, 'SIGCONT')
  await fleet.whole()
  expect(await fleet.leader()).toMatchObject({ node: leader, term })
  await decisions.stop()
  await decisions.holdAtLeader(port)
})

test('a leader that is frozen again and again costs an election each time, and never an answer', async () => {
  const fleet = await Fleet.start()
  const port = fleet.port()
  const decisions = new Decisions(fleet)
  decisions.start(port, 32)
  for (let round = 1; round <= 3; round++) {
    const before = decisions.committed.length
    const { node } = await fleet.leader()
    fleet.signal(node, 'SIGSTOP')
    await fleet.leader(node)
    await until('decisions flow again', () => decisions.committed.length > before + 50)
    fleet.signal(node, 'SIGCONT')
    await fleet.whole()
  }
  await decisions.stop()
  await decisions.holdAtLeader(port)
})
