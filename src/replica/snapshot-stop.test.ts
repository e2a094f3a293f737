import { afterEach, expect, test } from 'vitest'
import type { DiskOperation } from '../wal/index.ts'
import { eventually, Fleet, TestNode } from './fleet.support.ts'
import { loadUntilCut, SHORT_LOG } from './load-until-cut.support.ts'

// When a node says that it has stopped, its lock is gone, and its directory may be another process's.

let fleet: Fleet

afterEach(() => fleet.stopAll())

/** A disk that holds up the operations that are chosen, until it is told to go on. */
class Gate {
  readonly held: (() => void)[] = []
  readonly done: DiskOperation[] = []
  readonly #isHeld: (operation: DiskOperation) => boolean
  #open = false

  constructor(isHeld: (operation: DiskOperation) => boolean) {
    this.#isHeld = isHeld
  }

  readonly options = {
    delay: (operation: DiskOperation, proceed: () => void) => {
      if (!this.#open && this.#isHeld(operation)) this.held.push(proceed)
      else queueMicrotask(proceed)
    },
    onDone: (operation: DiskOperation) => {
      this.done.push(operation)
    },
  }

  open(): void {
    this.#open = true
    for (const proceed of this.held.splice(0)) proceed()
  }
}

async function startThree(): Promise<TestNode> {
  fleet = new Fleet({ tuning: SHORT_LOG })
  await fleet.start()
  return fleet.leader()
}

/** Stops the node while its disk is held up, and lets the disk go on when it has stopped, or plainly waits. */
async function stopHeld(stop: () => Promise<unknown>, gate: Gate): Promise<number> {
  const stopping = stop()
  await Promise.race([stopping, new Promise((resolve) => setTimeout(resolve, 300))])
  gate.open()
  await stopping
  return gate.done.length
}

test('a node that stops while it clears up behind an installed snapshot touches its disk no more afterwards', async () => {
  const leader = await startThree()
  await loadUntilCut(leader)
  const victim = fleet.followers(leader)[0]!.nodeId
  await eventually('it has a snapshot', () => fleet.nodes.get(victim)!.replica.status().snapshot !== undefined)
  await fleet.stop(victim)
  for (let round = 0; round < 2; round++) await loadUntilCut(leader)
  // Its own snapshot comes first, then the leader's.
  const isInstalled = () => fleet.nodes.get(victim)?.recorder.restores === 2
  const gate = new Gate(({ kind, path }) => kind === 'remove' && path.endsWith('.snap') && isInstalled())
  await fleet.crash(victim, () => 0, gate.options)
  await fleet.start(victim)
  await eventually('it removes the old one', () => gate.held.length > 0)
  const before = await stopHeld(() => fleet.stop(victim), gate)
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(gate.done.slice(before)).toEqual([])
})

test('a node that stops while it reads its snapshot reads no further, and its start ends in peace', async () => {
  const leader = await startThree()
  await loadUntilCut(leader)
  const victim = fleet.followers(leader)[0]!.nodeId
  await eventually('it has a snapshot', () => fleet.nodes.get(victim)!.replica.status().snapshot !== undefined)
  await fleet.stop(victim)
  const { members, network, tuning } = fleet
  let opened = 0
  // The first reading finds that the snapshot is good, the second one is for the state machine.
  const gate = new Gate(({ kind, path }) => {
    if (kind === 'open' && path.endsWith('.snap')) opened++
    return opened === 2 && kind === 'read' && path.endsWith('.snap')
  })
  const disk = fleet.diskOf(victim).crash(() => 0, gate.options)
  const node = await TestNode.open({ members, network, tuning, nodeId: victim, disk, directory: '/log' })
  const starting = node.replica.start(node.recorder)
  await eventually('it reads', () => gate.held.length > 0)
  const before = await stopHeld(() => node.stop(), gate)
  await starting
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(gate.done.slice(before)).toEqual([])
  expect(node.recorder.restores).toBe(0)
})
