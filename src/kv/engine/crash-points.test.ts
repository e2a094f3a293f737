import { expect, test } from 'vitest'
import { Prng, type Txid } from '../../base/index.ts'
import { TXIDS } from '../../base/txids.support.ts'
import { MemoryDisk } from '../../wal/index.ts'
import type { KvParticipant } from './kv-participant.ts'
import { openOn, settle, type TestParticipant } from './participant.support.ts'

type Effects = Readonly<Record<string, string | undefined>>

/** What became of a transaction, as its coordinator knows it. */
interface Told {
  readonly txid: Txid
  effects: Effects
  prepare: 'no' | 'asked' | 'voted'
  decision: 'none' | 'commit' | 'abort' | 'own'
  /** The participant said that it is done. */
  done: boolean
}

/** A coordinator that writes down what it asked and what it heard: the yardstick for what a restart must find. */
class Coordinator {
  readonly told = new Map<Txid, Told>()
  /** In the order in which commits were asked for. */
  readonly commits: Txid[] = []

  async prepare({ kv }: TestParticipant, index: number, effects: Effects): Promise<void> {
    const told = this.#of(index)
    const branch = kv.begin(told.txid)
    for (const [key, value] of Object.entries(effects)) {
      if (value === undefined) await branch.delete(key)
      else await branch.put(key, value)
    }
    await branch.get('read')
    told.effects = effects
    told.prepare = 'asked'
    expect(await kv.prepare(told.txid)).toEqual({ kind: 'commit' })
    told.prepare = 'voted'
  }

  /** Commits in one phase: only the participant can know the outcome, until it has told it. */
  async commitAlone({ kv }: TestParticipant, index: number, effects: Effects): Promise<void> {
    const told = this.#of(index)
    const branch = kv.begin(told.txid)
    for (const [key, value] of Object.entries(effects)) await branch.put(key, value ?? '')
    told.effects = effects
    told.prepare = 'asked'
    told.decision = 'own'
    this.commits.push(told.txid)
    expect(await kv.commitOnePhase(told.txid)).toEqual({ kind: 'done' })
    told.done = true
  }

  async commit({ kv }: TestParticipant, index: number): Promise<void> {
    const told = this.#of(index)
    told.decision = 'commit'
    if (!this.commits.includes(told.txid)) this.commits.push(told.txid)
    expect(await kv.commit(told.txid)).toEqual({ kind: 'done' })
    told.done = true
  }

  async abort({ kv }: TestParticipant, index: number): Promise<void> {
    const told = this.#of(index)
    told.decision = 'abort'
    expect(await kv.abort(told.txid)).toEqual({ kind: 'done' })
    told.done = true
  }

  #of(index: number): Told {
    const txid = TXIDS[index]!
    const told = this.told.get(txid) ?? { txid, effects: {}, prepare: 'no', decision: 'none', done: false }
    this.told.set(txid, told)
    return told
  }
}

/** A participant's whole life: votes, decisions, checkpoints with branches in doubt, removed segments, starts and ends. */
async function live(disk: MemoryDisk, coordinator: Coordinator): Promise<void> {
  let kv = await openOn(disk)
  await coordinator.prepare(kv, 0, { a: 'a0', b: 'b0' })
  await coordinator.commit(kv, 0)
  await coordinator.prepare(kv, 1, { a: 'a1', c: 'c1'.repeat(400) })
  await coordinator.prepare(kv, 2, { b: undefined, d: 'd2'.repeat(700) })
  await coordinator.abort(kv, 3)
  await kv.kv.checkpoint()
  await Promise.all([coordinator.commit(kv, 2), coordinator.prepare(kv, 4, { e: 'e4'.repeat(700) })])
  const checkpoint = kv.kv.checkpoint()
  checkpoint.catch(() => undefined)
  await coordinator.abort(kv, 4)
  await coordinator.prepare(kv, 5, { b: 'b5', d: undefined, f: 'f5'.repeat(700) })
  await checkpoint
  await coordinator.commit(kv, 5)
  await kv.kv.forgetBefore(1_700_000_000_000)
  await kv.kv.close()
  kv = await openOn(disk)
  await coordinator.prepare(kv, 6, { b: 'b6' })
  await coordinator.prepare(kv, 7, { g: 'g7'.repeat(700) })
  await kv.kv.checkpoint()
  await coordinator.commitAlone(kv, 9, { d: 'd9', i: 'i9'.repeat(300) })
  await coordinator.commit(kv, 1)
  await coordinator.abort(kv, 7)
  await coordinator.prepare(kv, 8, { a: 'a8', h: 'h8' })
  await kv.kv.checkpoint()
}

/** Two ways in which the power may go: nothing survives of what was not synced, or all of it; and by lot. */
function draws(seed: number): ((bound: number) => number)[] {
  const prng = new Prng(seed)
  return [seed % 2 === 0 ? () => 0 : (bound) => bound - 1, (bound) => prng.below(bound)]
}

/** A life in which operation `index` of the disk meets its fate; answers whether it came that far. */
async function liveUntil(
  index: number,
  fate: 'crash' | 'crashAfter' | 'EIO',
): Promise<{ disk: MemoryDisk; coordinator: Coordinator; ended: boolean }> {
  const coordinator = new Coordinator()
  const disk = new MemoryDisk({ fate: (operation) => (operation.index === index ? fate : 'done') })
  await live(disk, coordinator).catch((error: unknown) => {
    // What was promised is broken; anything else is the crash.
    if ((error as Error).name === 'AssertionError') throw error
  })
  await settle()
  return { disk, coordinator, ended: disk.operations > index }
}

/** What must be true after a start, whatever the crash left. */
async function check(disk: MemoryDisk, coordinator: Coordinator, label: string): Promise<void> {
  const { kv, failures } = await openOn(disk)
  const inDoubt = new Set(kv.inDoubt().map(({ txid }) => txid))
  for (const told of coordinator.told.values()) {
    expect(allowed(told), `${label}: ${told.txid}`).toContain(statusOf(kv, inDoubt, told.txid))
    if (inDoubt.has(told.txid)) await checkLocked(kv, told, label)
  }
  const expected = new Map<string, string>()
  const apply = (txid: Txid): void => {
    for (const [key, value] of Object.entries(coordinator.told.get(txid)!.effects)) {
      if (value === undefined) expected.delete(key)
      else expected.set(key, value)
    }
  }
  for (const txid of coordinator.commits) if (kv.evidence(txid) === 'committed') apply(txid)
  // Every decision arrives in the end; who heard of none hears commit, as it would if the coordinator had decided so.
  for (const txid of inDoubt) {
    const abort = coordinator.told.get(txid)!.decision === 'abort'
    expect(await (abort ? kv.abort(txid) : kv.commit(txid)), label).toEqual({ kind: 'done' })
    if (!abort) apply(txid)
  }
  expect(await content(kv), label).toEqual(sorted(expected))
  expect(failures, label).toEqual([])
  // To read the log once more changes nothing.
  const again = await openOn(disk.kill())
  expect(again.kv.inDoubt(), label).toEqual([])
  expect(await content(again.kv), label).toEqual(sorted(expected))
  await again.kv.close()
}

type Status = 'inDoubt' | 'committed' | 'aborted' | 'none'

function statusOf(kv: KvParticipant, inDoubt: ReadonlySet<Txid>, txid: Txid): Status {
  return inDoubt.has(txid) ? 'inDoubt' : kv.evidence(txid)
}

function allowed({ prepare, decision, done }: Told): readonly Status[] {
  if (done) return decision === 'abort' ? ['aborted'] : ['committed']
  if (decision === 'own') return ['none', 'inDoubt', 'committed']
  if (decision === 'commit') return ['inDoubt', 'committed']
  if (prepare === 'voted') return decision === 'abort' ? ['inDoubt', 'aborted'] : ['inDoubt']
  // The vote, or the refusal, may have reached the disk before the crash, or not.
  return prepare === 'asked' ? ['inDoubt', 'none'] : ['none', 'aborted']
}

/** Nobody reads what a branch in doubt is about to change. The reads come to their end when it does. */
async function checkLocked(kv: KvParticipant, { effects }: Told, label: string): Promise<void> {
  const read: string[] = []
  for (const key of Object.keys(effects)) void kv.get(key).then(() => read.push(key))
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
  expect(read, `${label}: all of it is locked`).toEqual([])
}

async function content(kv: KvParticipant): Promise<Record<string, unknown>> {
  const { entries } = await kv.scan()
  return Object.fromEntries(entries.map(({ key, value }) => [key, value]))
}

function sorted(map: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)))
}

test('the life that is crashed comes to its end when nothing happens to it, and removes old segments', async () => {
  const coordinator = new Coordinator()
  const disk = new MemoryDisk()
  await live(disk, coordinator)
  expect(disk.paths.some((path) => path.endsWith('000000000001.wal'))).toBe(false)
  await check(disk.kill(), coordinator, 'no crash')
})

test.each(['crash', 'crashAfter'] as const)(
  'P4, P7: after a %s at any operation, in whatever state the power leaves the disk, no vote, decision or effect is lost',
  async (fate) => {
    let worlds = 0
    for (let index = 0; ; index++) {
      const { disk, coordinator, ended } = await liveUntil(index, fate)
      if (!ended) break
      for (const [number, draw] of draws(index).entries()) {
        await check(disk.crash(draw), coordinator, `${fate} at ${index}, draw ${number}`)
        worlds++
      }
      // Only the process dies: what was written is there. Last, since it goes on with the same disk.
      if (fate === 'crash') await check(disk.kill(), coordinator, `kill at ${index}`)
    }
    expect(worlds).toBeGreaterThan(200)
  },
  60_000,
)

test('P4: a failed operation at any point ends the participant, and nothing that it said before is lost', async () => {
  for (let index = 0; ; index++) {
    const { disk, coordinator, ended } = await liveUntil(index, 'EIO')
    if (!ended) break
    await check(disk.crash(draws(index)[1]!), coordinator, `EIO at ${index}`)
  }
})

test('P4: a start that crashes at any operation, and the start after it, lose nothing', async () => {
  for (const last of [60, 110, 160]) {
    const { disk, coordinator } = await liveUntil(last, 'crash')
    const left = disk.crash(draws(last)[1]!)
    for (let index = 0; ; index++) {
      const fate = (operation: { index: number }) => (operation.index === index ? 'crash' : 'done')
      const start = left.crash(draws(index)[1]!, { fate })
      const opened = await openOn(start).catch(() => undefined)
      await settle()
      if (!start.dead) {
        await opened?.kv.close()
        break
      }
      await check(start.crash(draws(index)[1]!), coordinator, `life until ${last}, start until ${index}`)
    }
  }
})
