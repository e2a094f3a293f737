import { expect, test } from 'vitest'
import {
  armFailpoints,
  FAILPOINT_NAMES,
  FAILPOINTS,
  type FailpointHit,
  type FailpointName,
  type Txid,
} from '../../base/index.ts'
import type { Decision, Vote } from '../../txn/index.ts'
import { MemoryDisk } from '../../wal/index.ts'
import { BRANCH, TestInstance, ticketOf, txidOf } from './keeper.test-support.ts'

// Every point of a service's instance: the real keeper, journal and inquirer on a simulated disk, with scripted handlers
// and coordinators. In the way `takeover` another instance, with a journal of its own, carries out what was decided.
const POINTS = FAILPOINT_NAMES.filter((name) => FAILPOINTS[name].component === 'service')
const WAYS = ['restart', 'takeover', 'power', 'again'] as const

const [COMMITTED, ABORTED, ASKING] = [txidOf(1), txidOf(2), txidOf(3)]

/** What the coordinators know. */
interface Heard {
  vote?: Vote
  decision?: Decision
  isAcknowledged?: boolean
}

class Story {
  disk = new MemoryDisk({ whenDead: 'silent' })
  readonly heard = new Map<Txid, Heard>()
  died: FailpointHit | undefined
  diedAgain = false
  isDead = false
  instance!: TestInstance

  of(txid: Txid): Heard {
    const heard = this.heard.get(txid) ?? {}
    this.heard.set(txid, heard)
    return heard
  }

  async start(disk = this.disk): Promise<void> {
    this.isDead = false
    const opening = TestInstance.start({ disk })
    const silence = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 50))
    const instance = await Promise.race([opening, silence])
    if (instance !== undefined) this.instance = instance
  }

  async vote(txid: Txid): Promise<Vote | undefined> {
    let said: Vote | undefined
    this.instance.keeper.prepare(txid, BRANCH, 5_000, (vote) => {
      if (this.isDead) return
      said = vote
      this.of(txid).vote ??= vote
    })
    await this.instance.settle()
    return said
  }

  async decide(txid: Txid, decision: Decision): Promise<void> {
    const { instance } = this
    this.of(txid).decision = decision
    const before = instance.acks.length
    instance.keeper.decide(txid, BRANCH, decision)
    await instance.settle()
    if (!this.isDead && instance.acks.length > before) this.of(txid).isAcknowledged = true
  }
}

async function tell(story: Story): Promise<void> {
  const steps: (() => Promise<unknown>)[] = []
  const join = (txid: Txid) => async (): Promise<void> => {
    story.instance.join(ticketOf(txid)).catch(() => {})
    await story.instance.settle()
  }
  const ask = async (): Promise<void> => {
    story.of(ASKING).decision = 'commit'
    story.instance.knowledge = { kind: 'committed' }
    story.instance.inquirer.start()
    await story.instance.settle(60_000)
  }
  steps.push(
    join(COMMITTED),
    () => story.vote(COMMITTED),
    () => story.decide(COMMITTED, 'commit'),
  )
  steps.push(
    join(ABORTED),
    () => story.vote(ABORTED),
    () => story.decide(ABORTED, 'abort'),
  )
  steps.push(join(ASKING), () => story.vote(ASKING), ask)
  for (const step of steps) {
    if (story.isDead) return
    await step()
  }
  if (story.isDead) return
  // A planned restart, for the point on the way up.
  story.instance.inquirer.stop()
  story.disk = story.disk.kill({ whenDead: 'silent' })
  await story.start()
}

async function crashAt(point: FailpointName, way: (typeof WAYS)[number], seed: number): Promise<Story> {
  const story = new Story()
  const die = (isPower: boolean): void => {
    story.isDead = true
    const options = { whenDead: 'silent' } as const
    story.disk = isPower ? story.disk.crash((bound) => seed % bound, options) : story.disk.kill(options)
  }
  const { disarm } = armFailpoints((hit) => {
    if (story.isDead) return
    if (story.died === undefined && hit.name === point && (!point.includes('.start.') || hit.nth === 2)) {
      story.died = hit
      die(way === 'power')
    } else if (
      way === 'again' &&
      story.died !== undefined &&
      !story.diedAgain &&
      hit.name === 'service.start.journal-read'
    ) {
      story.diedAgain = true
      die(true)
    }
  })
  try {
    await story.start()
    await tell(story)
    story.instance.inquirer.stop()
    if (way === 'again' && story.died !== undefined) await story.start()
  } finally {
    disarm()
  }
  return story
}

/** The instance that is there now does what the coordinators ask for, and what was promised holds. */
async function check(story: Story, isAnother: boolean, isLate: boolean): Promise<void> {
  for (const [txid, { vote, decision, isAcknowledged }] of [...story.heard]) {
    // P4: only the one that holds the branch votes.
    if (!isAnother && vote === 'commit' && decision !== 'abort') expect(await story.vote(txid), txid).toBe('commit')
    const outcome = decision ?? (vote === 'commit' ? 'commit' : 'abort')
    const calls = story.instance.calls.length
    story.of(txid).isAcknowledged = false
    await story.decide(txid, outcome)
    expect(story.of(txid).isAcknowledged, `${txid} is acknowledged`).toBe(true)
    const called = story.instance.calls.slice(calls)
    // What was acknowledged is not done a second time by the instance that did it.
    if (!isAnother && !isLate && isAcknowledged === true) expect(called, txid).toEqual([])
    for (const call of called) expect(call, txid).toBe(outcome)
  }
  expect(story.instance.failure).toBeUndefined()
  expect([...story.instance.keeper.table.all()], 'nothing is open').toEqual([])
  const { name, txid } = story.died!
  if (FAILPOINTS[name].outcome === 'abort') expect(story.heard.get(txid as Txid)?.decision).toBe('abort')
}

test.each(POINTS)('P4, P7: an instance of a service dies at %s', async (point) => {
  for (const [seed, way] of WAYS.entries()) {
    const story = await crashAt(point, way, seed)
    expect(story.died?.name, `${way}: the point is reached`).toBe(point)
    expect(story.diedAgain, way).toBe(way === 'again')
    if (story.died?.txid !== undefined) story.of(story.died.txid as Txid)
    // The other instance has a disk of its own; the dead one comes back when all is over, and finds nothing to do.
    if (way === 'takeover') {
      await story.start(new MemoryDisk({ whenDead: 'silent' }))
      await check(story, true, false)
    }
    await story.start()
    await check(story, false, way === 'takeover')
  }
})
