import { afterEach, expect, test } from 'vitest'
import { type NodeId, Prng } from '../base/index.ts'
import { eventually, Fleet, type TestNode } from './fleet.support.ts'
import { load, loadUntilCut, SHORT_LOG } from './load-until-cut.support.ts'

// Whole nodes: a follower that is far behind dies at each operation on its disk while it gets a snapshot, installs it,
// goes on with entries, and takes snapshots of its own. So does a leader that sends and takes them.

let fleet: Fleet

afterEach(() => fleet.stopAll())

async function startThree(): Promise<TestNode> {
  fleet = new Fleet({ tuning: SHORT_LOG })
  await fleet.start()
  return fleet.leader()
}

async function equal(node: TestNode, leader: TestNode): Promise<void> {
  await eventually('it caught up', () => node.recorder.applied.length >= leader.recorder.applied.length)
  expect(node.recorder.applied).toEqual(leader.recorder.applied)
  expect(node.recorder.indexes).toEqual(leader.recorder.indexes)
  expect(node.fatal).toEqual([])
}

/** A disk that works until it is told after how many more operations it dies. */
class Fuse {
  left = Number.POSITIVE_INFINITY

  readonly options = {
    fate: () => (this.left-- === 0 ? ('crash' as const) : ('done' as const)),
  }
}

/** The state grows with each round, and so does the log between snapshots: so there are several fleets. */
const ROUNDS = 6

test.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])(
  'a follower that dies anywhere on its way through a snapshot is made equal by the next start (fleet %i)',
  async (number) => {
    const prng = new Prng(number)
    let restores = 0
    const leader = await startThree()
    const victim = fleet.followers(leader)[0]!.nodeId
    await fleet.stop(victim)
    // Each round begins far behind, on what the round before left.
    for (let round = 0; round < ROUNDS; round++) {
      await loadUntilCut(leader)
      const fuse = new Fuse()
      fuse.left = number * ROUNDS + round
      await fleet.crash(victim, (bound) => prng.below(bound), fuse.options)
      const dying = fleet.diskOf(victim)
      const started = await fleet.start(victim).then(
        () => true,
        () => false,
      )
      if (started) {
        await eventually('it died, or is through', () => dying.dead || isThrough(fleet.nodes.get(victim)!, leader))
        await fleet.stop(victim)
      }
      await fleet.crash(victim, (bound) => prng.below(bound))
      await fleet.start(victim)
      const node = fleet.nodes.get(victim)!
      await equal(node, leader)
      expect(node.replica.status().raft.doubtful).toBe(false)
      restores += node.recorder.restores
      await fleet.stop(victim)
    }
    expect(restores).toBeGreaterThan(0)
  },
)

function isThrough({ recorder }: TestNode, leader: TestNode): boolean {
  return recorder.applied.length >= leader.recorder.applied.length
}

test.each([0, 1, 2, 3, 4, 5])(
  'a leader that dies anywhere while it takes and sends snapshots loses nothing, and stops nobody (fleet %i)',
  async (number) => {
    const prng = new Prng(number)
    const fuses = new Map<NodeId, Fuse>()
    await startThree()
    for (const { nodeId } of fleet.running) await restart(nodeId, prng, fuses)
    let history: readonly string[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const leader = await fleet.leader()
      const away = fleet.followers(leader)[0]!.nodeId
      await fleet.stop(away)
      await loadUntilCut(leader)
      fuses.get(leader.nodeId)!.left = (round * 6 + number) * 2
      const dying = fleet.diskOf(leader.nodeId)
      await restart(away, prng, fuses)
      // The disk has enough to do: a snapshot that is sent, and others that are taken.
      while (!dying.dead && leader.recorder.leads) await load(leader, 10)
      await eventually('the disk died', () => dying.dead)
      await restart(leader.nodeId, prng, fuses)
      const next = await fleet.leader()
      next.propose(`checked ${round}`)
      for (const node of fleet.running) await equal(node, next)
      expect(next.recorder.applied.slice(0, history.length)).toEqual(history)
      history = [...next.recorder.applied]
    }
  },
)

/** The power of a node goes, and comes back. */
async function restart(nodeId: NodeId, prng: Prng, fuses: Map<NodeId, Fuse>): Promise<void> {
  const fuse = new Fuse()
  fuses.set(nodeId, fuse)
  await fleet.crash(nodeId, (bound) => prng.below(bound), fuse.options)
  await fleet.start(nodeId)
}
