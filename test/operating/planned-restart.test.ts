import { expect, test } from 'vitest'
import { Decisions } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'

test('a planned restart of each node in turn under load loses no request, round after round', async () => {
  const fleet = await Fleet.start()
  const decisions = new Decisions(fleet)
  const port = fleet.port()
  decisions.start(port, 20)
  let handedOver = 0
  for (let round = 0; round < 3; round++) {
    for (const id of fleet.ids) {
      await fleet.whole()
      if ((await fleet.leader()).node === id) handedOver++
      expect(await fleet.end(id, 'SIGTERM')).toEqual({ code: 0, signal: null })
      fleet.start(id)
    }
  }
  await fleet.whole()
  await decisions.stop()
  const unanswered = [...decisions.answers.values()].filter(
    (reply) => reply.kind === 'refused' || !['committed', 'aborted'].includes(reply.outcome.kind),
  )
  expect(unanswered).toEqual([])
  expect(decisions.committed.length).toBeGreaterThan(500)
  expect(handedOver, 'leaders were among those that were stopped').toBeGreaterThan(0)
  await decisions.holdAtLeader(port)
})
