import { cpSync, rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Decisions } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { operate } from './operating.support.ts'

async function loaded(fleet: Fleet): Promise<void> {
  const decisions = new Decisions(fleet)
  const port = fleet.port()
  await Promise.all(Array.from({ length: 100 }, () => decisions.decide(port, 10_000)))
  await fleet.whole()
}

test('a wiped directory under a known id is refused, and the others go on', async () => {
  const fleet = await Fleet.start()
  await loaded(fleet)
  const { node: leader } = await fleet.leader()
  const wiped = fleet.ids.find((id) => id !== leader)!
  expect((await fleet.end(wiped, 'SIGTERM')).code).toBe(0)
  rmSync(fleet.dataOf(wiped), { recursive: true })
  fleet.start(wiped)
  await fleet.ended(wiped)
  expect(fleet.logOf(wiped)).toContain('NODE_STORE_CHANGED')
  expect((await fleet.leader()).node).toBe(leader)
  await operate(fleet, 'list')
})

test('a directory from the past under a known id is refused, and the others go on', async () => {
  const fleet = await Fleet.start()
  await loaded(fleet)
  const { node: leader } = await fleet.leader()
  const old = fleet.ids.find((id) => id !== leader)!
  expect((await fleet.end(old, 'SIGTERM')).code).toBe(0)
  cpSync(fleet.dataOf(old), `${fleet.dataOf(old)}.copy`, { recursive: true, verbatimSymlinks: true })
  fleet.start(old)
  for (let round = 0; round < 3; round++) await loaded(fleet)
  // What was acknowledged is noted every few seconds.
  await new Promise((resolve) => setTimeout(resolve, 6_000))
  await loaded(fleet)
  expect((await fleet.end(old, 'SIGTERM')).code).toBe(0)
  rmSync(fleet.dataOf(old), { recursive: true })
  cpSync(`${fleet.dataOf(old)}.copy`, fleet.dataOf(old), { recursive: true, verbatimSymlinks: true })
  fleet.start(old)
  await fleet.ended(old)
  expect(fleet.logOf(old)).toContain('NODE_STORE_OLD')
  expect((await fleet.leader()).node).toBe(leader)
})
