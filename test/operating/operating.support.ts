import { expect } from 'vitest'
import type { LeaderQuestions } from '../../src/server/index.ts'
import type { Fleet } from '../support/fleet.support.ts'
import { until } from '../support/waiting.support.ts'

type Members = LeaderQuestions['members.list']['answer']

/** Runs a command that must succeed, and gives back what it printed. */
export async function operate(fleet: Fleet, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await fleet.operator(...args)
  expect({ args, code, stderr }).toMatchObject({ code: 0 })
  return stdout
}

/** What `concordat members list` tells. */
export async function members(fleet: Fleet): Promise<Members> {
  return JSON.parse(await operate(fleet, 'members', 'list', '--json')) as Members
}

/** The voters of which all are alive and whole. */
export async function livingVoters(fleet: Fleet): Promise<readonly number[] | undefined> {
  const { code, stdout } = await fleet.operator('members', 'list', '--json')
  if (code !== 0) return undefined
  const list = JSON.parse(stdout) as Members
  const voters = list.members.filter(({ role }) => role === 'voter')
  return voters.every(({ alive, doubtful }) => alive === true && doubtful !== true)
    ? voters.map(({ nodeId }) => nodeId as number)
    : undefined
}

/** Brings a new node into the fleet, as the pages of docs/operating say. */
export async function addVoter(fleet: Fleet, id: number, replacing?: number): Promise<void> {
  const member = await fleet.join(id)
  fleet.start(id)
  await operate(fleet, 'members', 'add', member)
  await operate(
    fleet,
    'members',
    'promote',
    String(id),
    ...(replacing === undefined ? [] : ['--replacing', String(replacing)]),
  )
}

/** Waits until just these vote, and all of them are alive. */
export async function votersAre(fleet: Fleet, ...ids: readonly number[]): Promise<void> {
  await until(`the voters are ${ids.join(', ')}`, async () => (await livingVoters(fleet))?.join() === ids.join())
}
