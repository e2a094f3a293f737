import { closeSync, openSync, readdirSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Decisions } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { concordat } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'
import { livingVoters } from './operating.support.ts'

/** Flips a bit of each of some bytes that were surely on disk. */
function damage(file: string, from: number, count: number): void {
  const handle = openSync(file, 'r+')
  const bytes = Buffer.alloc(count)
  readSync(handle, bytes, 0, count, from)
  for (let at = 0; at < count; at++) bytes[at]! ^= 0x40
  writeSync(handle, bytes, 0, count, from)
  closeSync(handle)
}

test('a node whose log was damaged on disk comes back by itself: it rebuilds without a vote, then votes again', async () => {
  const fleet = await Fleet.start()
  const decisions = new Decisions(fleet)
  const port = fleet.port()
  decisions.start(port, 10)
  await until('there is a log', () => decisions.answers.size > 300)
  await fleet.whole()
  const { node: leader } = await fleet.leader()
  const harmed = fleet.ids.find((id) => id !== leader)!
  await fleet.kill(harmed)
  const [segment] = readdirSync(fleet.dataOf(harmed)).filter((name) => name.endsWith('.wal'))
  damage(join(fleet.dataOf(harmed), segment!), 20_000, 64)

  const look = await concordat(['recover', '--data', fleet.dataOf(harmed)])
  expect(look.code).toBe(1)
  expect(look.stdout).toContain('just start this node')

  fleet.start(harmed)
  await until('it is rebuilt', () => fleet.logOf(harmed).includes('is whole again'))
  await until('all three vote', async () => (await livingVoters(fleet))?.length === 3)
  // Now it is needed: it and the leader are the majority.
  await fleet.kill(fleet.ids.find((id) => id !== harmed && id !== leader)!)
  const before = decisions.answers.size
  await until('it counts', () => decisions.answers.size > before + 50)
  await decisions.stop()
  await decisions.holdAtLeader(port)
})
