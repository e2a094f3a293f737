import { expect, test } from 'vitest'
import type { LeaderQuestions } from '../../src/server/index.ts'
import { asCluster, BOTH, newTxid } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { type CommandEnd, concordat } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'

type Members = LeaderQuestions['members.list']['answer']

const clusterId = asCluster('test')

/** A fleet of three, and nodes that may be added to it. */
async function startThree(guests: number): Promise<Fleet> {
  const fleet = await Fleet.prepare({ size: 3 + guests })
  const members = [1, 2, 3].map((id) => ({ id, address: fleet.addressOf(id) }))
  for (const id of fleet.ids) {
    const join = id > 3
    fleet.rewrite(id, join ? { members, join, listen: fleet.addressOf(id) } : { members })
  }
  for (const { id } of members) fleet.start(id)
  await fleet.leader()
  return fleet
}

async function ask(fleet: Fleet, ...args: readonly string[]): Promise<CommandEnd> {
  return await concordat([...args, '--coordinators', fleet.running.map((id) => fleet.addressOf(id)).join(',')])
}

async function done(fleet: Fleet, ...args: readonly string[]): Promise<Members> {
  const { code, stdout, stderr } = await ask(fleet, ...args, '--json')
  expect({ code, stderr }, args.join(' ')).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout)
}

const rolesOf = ({ members }: Members) => Object.fromEntries(members.map(({ nodeId, role }) => [nodeId, role]))

async function decide(fleet: Fleet): Promise<void> {
  const reply = await fleet.port().commit({ clusterId, txid: newTxid(), timeoutMs: 10_000, branches: BOTH })
  expect(reply).toMatchObject({ outcome: { kind: 'committed' } })
}

test('a node is added, catches up, votes, and another one is removed for good', async () => {
  const fleet = await startThree(1)
  await decide(fleet)
  fleet.start(4)
  await until('it runs', async () => (await fleet.status(4)) !== undefined)
  expect((await fleet.status(4))?.members, 'it belongs to nobody yet').toEqual([])
  expect(rolesOf(await done(fleet, 'members', 'add', `4=${fleet.addressOf(4)}`))).toMatchObject({ 4: 'learner' })
  expect(rolesOf(await done(fleet, 'members', 'promote', '4'))).toMatchObject({ 4: 'voter' })
  // Said twice, it is still done.
  expect(rolesOf(await done(fleet, 'members', 'promote', '4'))).toMatchObject({ 4: 'voter' })
  const { node: leader } = await fleet.leader()
  const victim = [1, 2, 3].find((id) => id !== leader)!
  expect(await done(fleet, 'members', 'remove', String(victim))).toMatchObject({ retired: [victim] })
  await until('it knows that it was removed', async () => (await fleet.status(victim))?.removed === true)
  await decide(fleet)

  const human = await ask(fleet, 'members', 'list')
  expect(human).toMatchObject({ code: 0, stderr: '' })
  expect(human.stdout).toMatch(/^NODE +ROLE +ADDRESS +STATE +MATCH +LAG\n/)
  expect(human.stdout).toMatch(/\d +voter, leader +127/)
  expect(human.stdout).toContain(`Removed, and never used again: ${victim}`)
  const again = await ask(fleet, 'members', 'add', `${victim}=${fleet.addressOf(victim)}`)
  expect(again.code).toBe(1)
  expect(again.stderr).toMatch(/an id that was removed is never used again/)
})

test('the address of another member is refused, and the id stays free', async () => {
  const fleet = await startThree(1)
  const taken = await ask(fleet, 'members', 'add', `4=${fleet.addressOf(2)}`)
  expect(taken.code).toBe(1)
  expect(taken.stderr).toMatch(/is the address of member 2\..*\[ADMIN_REFUSED: MEMBERS_ADDRESS_TAKEN\]/)
  expect(await done(fleet, 'members', 'list')).toMatchObject({ retired: [] })
  fleet.start(4)
  expect(rolesOf(await done(fleet, 'members', 'add', `4=${fleet.addressOf(4)}`))).toMatchObject({ 4: 'learner' })
  const learner = await ask(fleet, 'transfer', '4')
  expect(learner.stderr).toMatch(/node 4 is no voter \(it is a learner; promote it first\)/)
})

test('what would leave too few living voters is refused; --force needs a reason, and the reason is kept', async () => {
  const fleet = await startThree(0)
  const { node: leader } = await fleet.leader()
  const [victim, other] = fleet.ids.filter((id) => id !== leader) as [number, number]
  await fleet.kill(victim)
  await until('it is known to be dead', async () => {
    const { members } = await done(fleet, 'members', 'list')
    return members.find(({ nodeId }) => nodeId === victim)?.alive === false
  })
  const refused = await ask(fleet, 'members', 'demote', String(other))
  expect(refused.code).toBe(1)
  expect(refused.stderr).toMatch(/of the voters afterwards too few are alive now.*force the change with a reason/)
  const unreasoned = await ask(fleet, 'members', 'demote', String(other), '--force')
  expect(unreasoned.code).toBe(2)
  expect(unreasoned.stderr).toMatch(/--force needs a reason/)
  await done(fleet, 'members', 'add', '9=127.0.0.1:9', '--force', '--reason', 'fire drill 7')
  expect((await ask(fleet, 'members', 'list')).stdout).toMatch(/was forced: fire drill 7/)
})

test('five nodes lose two for good and are five again, with the command line alone', async () => {
  const fleet = await Fleet.prepare({ size: 7 })
  const members = [1, 2, 3, 4, 5].map((id) => ({ id, address: fleet.addressOf(id) }))
  for (const id of fleet.ids) {
    const join = id > 5
    fleet.rewrite(id, join ? { members, join, listen: fleet.addressOf(id) } : { members })
    if (!join) fleet.start(id)
  }
  await fleet.leader()
  await decide(fleet)
  await fleet.kill(1, 2)
  for (const [dead, fresh] of [
    [1, 6],
    [2, 7],
  ] as const) {
    fleet.start(fresh)
    await done(fleet, 'members', 'add', `${fresh}=${fleet.addressOf(fresh)}`)
    await done(fleet, 'members', 'promote', String(fresh), '--replacing', String(dead))
  }
  expect(rolesOf(await done(fleet, 'members', 'list'))).toEqual({
    3: 'voter',
    4: 'voter',
    5: 'voter',
    6: 'voter',
    7: 'voter',
  })
  // As good as before: two more may go.
  await fleet.kill(3, 4)
  await decide(fleet)
})

test('transfer makes another coordinator lead, the one that is named or the one that is furthest', async () => {
  const fleet = await startThree(0)
  const { node: leader } = await fleet.leader()
  const to = fleet.ids.find((id) => id !== leader)!
  const moved = await ask(fleet, 'transfer', String(to))
  expect(moved).toEqual({ code: 0, stdout: `node ${to} leads\n`, stderr: '' })
  expect(await fleet.leader()).toMatchObject({ node: to })
  const { code, stdout } = await ask(fleet, 'transfer', '--json')
  expect(code).toBe(0)
  expect(JSON.parse(stdout).leader).not.toBe(to)
  const nobody = await ask(fleet, 'transfer', '77')
  expect(nobody.code).toBe(1)
  expect(nobody.stderr).toMatch(/node 77 is no voter \(it is no member\).*\[ADMIN_REFUSED: MEMBERS_UNKNOWN_MEMBER\]/)
  const { node: present } = await fleet.leader()
  const same = await ask(fleet, 'transfer', String(present))
  expect(same).toEqual({ code: 0, stdout: `node ${present} leads already\n`, stderr: '' })
  const dead = fleet.ids.find((id) => id !== present)!
  await fleet.kill(dead)
  await until('it is known to be dead', async () => {
    const { members } = await done(fleet, 'members', 'list')
    return members.find(({ nodeId }) => nodeId === dead)?.alive === false
  })
  expect((await ask(fleet, 'transfer', String(dead))).stderr).toMatch(/TRANSFER_FAILED/)
})

test('without a leader, list says what was heard last, and that it may be out of date', async () => {
  const fleet = await startThree(0)
  const { node: leader } = await fleet.leader()
  await fleet.kill(...fleet.ids.filter((id) => id !== leader))
  await until('it has noticed', async () => (await fleet.status(leader))?.serving === false)
  const { code, stdout, stderr } = await ask(fleet, 'members', 'list')
  expect(code).toBe(1)
  expect(stdout).toMatch(/^NODE +ROLE/)
  expect(stderr).toMatch(/No leader answers.*out of date/)
})
