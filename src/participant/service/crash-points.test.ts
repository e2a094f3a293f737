import { expect, test } from 'vitest'
import { Prng, type Txid } from '../../base/index.ts'
import { MemoryDisk } from '../../wal/index.ts'
import { BRANCH, TestInstance, ticketOf, txidOf } from './keeper.test-support.ts'

/** So often the journal writes everything that counts again, so that crashes meet it at that. */
const OFTEN = { rewriteRecords: 2, options: { endedMax: 100 } }
const BRANCHES = 6

/** What the coordinators have heard of one branch. */
interface Heard {
  vote: string | undefined
  wasAborted: boolean
  isAcknowledged: boolean
}

/** Six branches, one after the other: voted and committed, voted and left in doubt, or aborted. Ends early when the disk dies. */
async function story(instance: TestInstance, heard: Map<Txid, Heard>): Promise<void> {
  for (let number = 1; number <= BRANCHES && !instance.disk.dead; number++) {
    const txid = txidOf(number)
    const told: Heard = { vote: undefined, wasAborted: number % 3 === 1, isAcknowledged: false }
    heard.set(txid, told)
    instance.join(ticketOf(txid)).catch(() => {})
    await instance.settle()
    instance.keeper.prepare(txid, BRANCH, 30_000, (vote) => {
      told.vote = vote
    })
    await instance.settle()
    const acks = instance.acks.length
    // A decision to commit counts on the vote.
    if (number % 3 === 0 && told.vote === 'commit') instance.keeper.decide(txid, BRANCH, 'commit')
    else if (told.wasAborted) instance.keeper.decide(txid, BRANCH, 'abort')
    await instance.settle()
    told.isAcknowledged = instance.acks.length > acks
  }
}

async function operationsOf(run: (disk: MemoryDisk) => Promise<void>): Promise<number> {
  const disk = new MemoryDisk()
  await run(disk)
  return disk.operations
}

async function runOn(disk: MemoryDisk): Promise<Map<Txid, Heard>> {
  const heard = new Map<Txid, Heard>()
  const opening = TestInstance.start({ ...OFTEN, disk })
  const instance = await Promise.race([
    opening,
    new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 50)),
  ])
  if (instance !== undefined) await story(instance, heard)
  return heard
}

/** What the next process does with each branch must agree with what the coordinators have heard. */
async function check(disk: MemoryDisk, heard: ReadonlyMap<Txid, Heard>): Promise<void> {
  const next = await TestInstance.start({ ...OFTEN, disk })
  for (const [txid, { vote, wasAborted, isAcknowledged }] of heard) {
    let again: string | undefined
    const calls = next.calls.length
    next.keeper.prepare(txid, BRANCH, 30_000, (answer) => {
      again = answer
    })
    await next.settle()
    // P4: who voted commit never votes otherwise, unless the abort was told to it and carried out.
    if (vote === 'commit' && wasAborted) expect(['commit', 'abort']).toContain(again)
    else if (vote === 'commit') expect(again).toBe('commit')
    if (isAcknowledged) expect(again).toBe(wasAborted ? 'abort' : 'commit')
    // Neither prepare nor an outcome is called anew for what was promised or finished.
    if (vote !== undefined || isAcknowledged) expect(next.calls.length).toBe(calls)
  }
  expect(next.failure).toBeUndefined()
}

test('P4: the power fails at any operation of the disk, and no vote that was sent is forgotten', async () => {
  const count = await operationsOf(async (disk) => void (await runOn(disk)))
  expect(count).toBeGreaterThan(30)
  let votes = 0
  for (let at = 0; at < count; at++) {
    for (const fate of ['crash', 'crashAfter'] as const) {
      const disk = new MemoryDisk({ fate: ({ index }) => (index === at ? fate : 'done'), whenDead: 'silent' })
      const heard = await runOn(disk)
      votes += [...heard.values()].filter(({ vote }) => vote !== undefined).length
      const prng = new Prng(at)
      await check(
        disk.crash((bound) => prng.below(bound)),
        heard,
      )
    }
  }
  expect(votes).toBeGreaterThan(count)
})

test('a disk that fails at any operation ends the promises, and what was promised before still holds', async () => {
  const count = await operationsOf(async (disk) => void (await runOn(disk)))
  for (let at = 0; at < count; at++) {
    const disk = new MemoryDisk({ fate: ({ index }) => (index === at ? 'EIO' : 'done') })
    const heard = await runOn(disk).catch(() => new Map<Txid, Heard>())
    const prng = new Prng(at)
    await check(
      disk.crash((bound) => prng.below(bound)),
      heard,
    )
  }
})
