import { existsSync, rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Decisions, newTxid } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { concordat } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'
import { addVoter, operate, votersAre } from './operating.support.ts'

async function loseTwo() {
  const fleet = await Fleet.start()
  const decisions = new Decisions(fleet)
  decisions.start(fleet.port(), 10)
  await until('there are decisions', () => decisions.answers.size > 300)
  await decisions.stop()
  await fleet.whole()
  await fleet.kill(1, 2)
  return { fleet, decisions }
}

test('one of three that is left goes on alone with every answer that it knew, and grows to three again', async () => {
  const { fleet, decisions } = await loseTwo()
  const running = await concordat(['recover', '--data', fleet.dataOf(3)])
  expect(running.stderr).toContain('WAL_LOCKED')
  await fleet.kill(3)
  for (const id of [1, 2]) rmSync(fleet.dataOf(id), { recursive: true })

  const look = await concordat(['recover', '--data', fleet.dataOf(3)])
  expect(look).toMatchObject({ code: 0, stderr: '' })
  expect(look.stdout).toContain('Node 3 of cluster test')
  const force = ['recover', '--data', fleet.dataOf(3), '--force-new-cluster']
  for (const flags of [[], ['--yes-lose-data', 'production']]) {
    const refused = await concordat([...force, ...flags])
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain('NOT_CONFIRMED')
  }
  expect((await concordat(['recover', '--data', fleet.dataOf(3)])).stdout).toBe(look.stdout)
  const done = await concordat([...force, '--yes-lose-data', 'test'])
  expect(done).toMatchObject({ code: 0 })
  expect(done.stderr).toContain('decisions that clients were told may be missing')
  expect(existsSync(`${fleet.dataOf(3)}.before-recovery-1`)).toBe(true)

  fleet.start(3)
  expect((await fleet.leader()).node).toBe(3)
  await addVoter(fleet, 4)
  await addVoter(fleet, 5)
  await votersAre(fleet, 3, 4, 5)
  await fleet.kill(3)
  await fleet.leader()
  await decisions.holdAtLeader(fleet.port('later'))
})

test('P1: what a recovered log does not know stays undecided until an operator lifts the guard', async () => {
  const { fleet } = await loseTwo()
  const lost = newTxid()
  await fleet.kill(3)
  await concordat(['recover', '--data', fleet.dataOf(3), '--force-new-cluster', '--yes-lose-data', 'test'])
  fleet.start(3)
  const { guard } = await fleet.leader()
  expect(guard?.beforeMs).toBeGreaterThan(Date.now() - 60_000)
  const asked = await fleet.operator('outcome', lost, '--settle')
  expect(asked.code).toBe(1)
  expect(asked.stderr).toContain('lost')
  expect(await operate(fleet, 'guard')).toContain('Guarded')
  expect(await operate(fleet, 'guard', 'lift', '--reason', 'nothing is prepared')).toContain('Nothing is guarded')
  expect(await operate(fleet, 'outcome', lost, '--settle')).toContain('aborted (presumed)')
})

test('a node of the lost majority that comes back after all is refused', async () => {
  const { fleet } = await loseTwo()
  await fleet.kill(3)
  await concordat(['recover', '--data', fleet.dataOf(3), '--force-new-cluster', '--yes-lose-data', 'test'])
  fleet.start(3)
  const { term } = await fleet.leader()
  fleet.start(1)
  await until('it was refused', async () => (await fleet.status(1))?.removed === true)
  expect(await fleet.leader()).toMatchObject({ node: 3, term })
})
