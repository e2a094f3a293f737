import { expect, test } from 'vitest'
import { Decisions } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { until } from '../support/waiting.support.ts'
import { members, operate } from './operating.support.ts'

test('a removed node that is started again is refused, and disturbs nobody', async () => {
  const fleet = await Fleet.start()
  const decisions = new Decisions(fleet)
  const port = fleet.port()
  await fleet.whole()
  const { node: leader } = await fleet.leader()
  const gone = fleet.ids.find((id) => id !== leader)!
  await operate(fleet, 'members', 'remove', String(gone))
  await until('it knows', async () => (await fleet.status(gone))?.removed === true)
  expect((await fleet.end(gone, 'SIGTERM')).code).toBe(0)

  const { term } = await fleet.leader()
  decisions.start(port, 10)
  fleet.start(gone)
  await until('it was refused', () => (fleet.logOf(gone).match(/NODE_REMOVED/g)?.length ?? 0) > 1)
  const before = decisions.answers.size
  await until('decisions go on', () => decisions.answers.size > before + 200)
  await decisions.stop()
  expect(await fleet.leader()).toMatchObject({ node: leader, term })
  expect((await members(fleet)).retired).toEqual([gone])
  const again = await fleet.operator('members', 'add', `${gone}=${fleet.addressOf(gone)}`)
  expect(again.stderr).toContain('NODE_ID_RETIRED')
  await decisions.holdAtLeader(port)
})
