import { expect, test } from 'vitest'
import {
  armFailpoints,
  type BranchId,
  FAILPOINT_NAMES,
  FAILPOINTS,
  type FailpointHit,
  type FailpointName,
  formatBranchTicket,
  parseBranchId,
  parseClusterId,
  type Txid,
} from '../../base/index.ts'
import { TXIDS } from '../../base/txids.support.ts'
import { openOn, settle, type TestParticipant } from '../../kv/engine/participant.support.ts'
import { KV_PORT_LIMITS, KvDesk } from '../../kv/index.ts'
import type { Vote } from '../../txn/index.ts'
import { MemoryDisk } from '../../wal/index.ts'
import { KEEPER_DEFAULTS } from '../service/options.ts'
import { KvKeeper } from './kv-keeper.ts'

// Every point of the key-value participant: the whole participant on a simulated disk, and coordinators that write down
// what they asked and heard. Nobody takes over for it, so there are three ways.
const POINTS = FAILPOINT_NAMES.filter((name) => FAILPOINTS[name].component === 'kv')
const WAYS = ['restart', 'power', 'again'] as const

const clusterId = parseClusterId('trips')
const branch = parseBranchId(1)
const logger = { debug() {}, info() {}, warn() {}, error() {} }
const [COMMITTED, ABORTED, UNKNOWN, ALONE, IN_DOUBT] = TXIDS as [Txid, Txid, Txid, Txid, Txid]

/** What the coordinators asked of one branch, and heard of it while its participant lived. */
interface Told {
  vote?: Vote
  decision?: 'commit' | 'abort'
  isAcknowledged?: boolean
}

/** One process of the participant, which may die at a point. */
class Life {
  disk = new MemoryDisk({ whenDead: 'silent' })
  readonly told = new Map<Txid, Told>()
  died: FailpointHit | undefined
  diedAgain = false
  isDead = false
  at!: TestParticipant
  keeper!: KvKeeper
  #desk!: KvDesk

  /** The process starts on this disk; undefined when it dies before it is up. */
  async start(): Promise<boolean> {
    this.isDead = false
    const opening = openOn(this.disk)
    const at = await Promise.race([opening, settle().then(settle).then(settle)])
    if (at === undefined || this.isDead) return false
    this.at = at
    const { kv, clock } = at
    this.#desk = new KvDesk({ kv, name: 'stock', clusterId, clock, limits: KV_PORT_LIMITS, status: () => ({}) })
    const ack = (txid: Txid): void => {
      if (!this.isDead) this.of(txid).isAcknowledged = true
    }
    this.keeper = new KvKeeper({ kv, desk: this.#desk, ack, clock, logger, options: KEEPER_DEFAULTS })
    return true
  }

  of(txid: Txid): Told {
    const told = this.told.get(txid) ?? {}
    this.told.set(txid, told)
    return told
  }

  async work(txid: Txid): Promise<void> {
    this.of(txid)
    const session = this.#desk.enter()
    const ticket = formatBranchTicket({ cluster: clusterId, txid, branch, participant: 'stock', timeoutMs: 5_000 })
    void session.call({ kind: 'begin', ticket }, 1)
    void session.call({ kind: 'work', txid, statement: { kind: 'put', key: txid, value: 1 } }, 1)
    await settle()
  }

  async prepare(txid: Txid): Promise<Vote | undefined> {
    let said: Vote | undefined
    this.keeper.prepare(txid, branch as BranchId, (vote) => {
      if (this.isDead) return
      said = vote
      this.of(txid).vote ??= vote
    })
    await settle()
    return said
  }

  async decide(txid: Txid, decision: 'commit' | 'abort'): Promise<void> {
    this.of(txid).decision = decision
    this.keeper.decide(txid, branch, decision)
    await settle()
  }
}

/** Everything that has a point, one after the other; it ends where the participant dies. */
async function live(life: Life): Promise<void> {
  const alone = async (): Promise<void> => {
    await life.work(ALONE)
    void life.at.kv.commitOnePhase(ALONE).then(() => {
      if (!life.isDead) life.of(ALONE).isAcknowledged = true
    })
    await settle()
  }
  const steps: (() => Promise<unknown>)[] = [
    () => life.work(COMMITTED),
    () => life.prepare(COMMITTED),
    () => life.decide(COMMITTED, 'commit'),
    () => life.work(ABORTED),
    () => life.prepare(ABORTED),
    () => life.decide(ABORTED, 'abort'),
    () => life.prepare(UNKNOWN),
    alone,
    () => life.work(IN_DOUBT),
    () => life.prepare(IN_DOUBT),
    async () => {
      void life.at.kv.checkpoint().catch(() => {})
      await settle()
    },
  ]
  for (const step of steps) {
    if (life.isDead) return
    await step()
  }
  // A planned restart, for the points on the way up.
  if (life.isDead) return
  life.disk = life.disk.kill({ whenDead: 'silent' })
  await life.start()
}

/** The point is where the process ends. In the way `again` the next one ends on its way up. */
async function crashAt(point: FailpointName, way: (typeof WAYS)[number], seed: number): Promise<Life> {
  const life = new Life()
  const recovery = seed % 2 === 0 ? 'kv.start.log-read' : 'kv.start.locked'
  const die = (isPower: boolean): void => {
    life.isDead = true
    const options = { whenDead: 'silent' } as const
    life.disk = isPower ? life.disk.crash((bound) => seed % bound, options) : life.disk.kill(options)
  }
  const { disarm } = armFailpoints((hit) => {
    if (life.isDead) return
    const isStart = point.includes('.start.')
    if (life.died === undefined && hit.name === point && (!isStart || hit.nth === 2)) {
      life.died = hit
      die(way === 'power')
    } else if (life.died !== undefined && way === 'again' && !life.diedAgain && hit.name === recovery) {
      life.diedAgain = true
      die(true)
    }
  })
  try {
    await life.start()
    await live(life)
    if (way === 'again' && life.died !== undefined) await life.start()
  } finally {
    disarm()
  }
  return life
}

/** The participant is back: every vote holds, every decision is carried out, and nothing is locked any more. */
async function check(life: Life): Promise<void> {
  const { kv } = life.at
  for (const [txid, { vote, decision, isAcknowledged }] of [...life.told]) {
    if (txid === ALONE) {
      const end = await kv.settle(txid)
      if (isAcknowledged === true) expect(end).toBe('committed')
      continue
    }
    // P4: who voted commit votes so again, unless it was told to abort.
    if (vote === 'commit' && decision !== 'abort') expect(await life.prepare(txid), txid).toBe('commit')
    const outcome = decision ?? (vote === 'commit' ? 'commit' : 'abort')
    life.of(txid).isAcknowledged = false
    await life.decide(txid, outcome)
    expect(life.of(txid).isAcknowledged, `${txid} is acknowledged`).toBe(true)
    expect(kv.evidence(txid), txid).toBe(outcome === 'commit' ? 'committed' : 'aborted')
  }
  for (const { txid } of kv.inDoubt()) expect.unreachable(`${txid} is in doubt`)
  for (const txid of life.told.keys()) {
    const value = await Promise.race([kv.get(txid), settle().then(() => 'locked')])
    expect(value, txid).toBe(kv.evidence(txid) === 'committed' ? 1 : undefined)
  }
  const { txid } = life.died!
  const { outcome } = FAILPOINTS[life.died!.name]
  if (txid === undefined) return
  if (outcome === 'commit') expect(kv.evidence(txid)).toBe('committed')
  if (outcome === 'abort') expect(kv.evidence(txid)).not.toBe('committed')
}

test.each(POINTS)('P4, P7: a key-value participant dies at %s', async (point) => {
  for (const [index, way] of WAYS.entries()) {
    for (const seed of [index, index + 1]) {
      const life = await crashAt(point, way, seed)
      expect(life.died?.name, `${way}: the point is reached`).toBe(point)
      expect(life.diedAgain, way).toBe(way === 'again')
      life.told.set(ALONE, life.of(ALONE))
      expect(await life.start(), `${way}: it starts again`).toBe(true)
      await check(life)
      await life.at.kv.close()
    }
  }
})
