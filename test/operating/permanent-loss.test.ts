import { rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Decisions } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { addVoter, members, operate, votersAre } from './operating.support.ts'

test('five nodes lose two for good, and are brought back to five with the commands alone, under load', async () => {
  const fleet = await Fleet.start({ size: 5 })
  const decisions = new Decisions(fleet)
  const port = fleet.port()
  decisions.start(port, 10)
  await fleet.whole()
  await fleet.kill(4, 5)
  for (const id of [4, 5]) rmSync(fleet.dataOf(id), { recursive: true })
  await addVoter(fleet, 6, 4)
  await addVoter(fleet, 7, 5)
  await votersAre(fleet, 1, 2, 3, 6, 7)
  expect((await members(fleet)).retired).toEqual([4, 5])
  // The two that are new count like any other: without two of the old ones a majority is left.
  await fleet.kill(1, 2)
  await fleet.leader()
  await decisions.stop()
  expect(decisions.committed.length).toBeGreaterThan(100)
  await decisions.holdAtLeader(port)
})

test('a node that would leave fewer living voters than decide is not removed, unless it is forced with a reason', async () => {
  const fleet = await Fleet.start()
  await fleet.whole()
  const { node: leader } = await fleet.leader()
  const [one, other] = fleet.ids.filter((id) => id !== leader)
  await fleet.kill(one!)
  const refused = await fleet.operator('members', 'remove', String(other))
  expect(refused.code).toBe(1)
  expect(refused.stderr).toContain('MEMBERS_QUORUM_UNSAFE')
  await operate(fleet, 'members', 'remove', String(one))
  expect((await members(fleet)).retired).toEqual([one])
})
