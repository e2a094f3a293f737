import { afterEach, expect, test } from 'vitest'
import { eventually, Fleet, type TestNode } from './fleet.support.ts'

const ENTRY_BYTES = 64 * 1024
const MIB = 1024 * 1024

let fleet: Fleet

afterEach(() => fleet.stopAll())

async function startThree(): Promise<TestNode> {
  fleet = new Fleet()
  await fleet.start()
  return await fleet.leader()
}

/** The state machine of this node takes so long for each entry. */
function slowDown({ recorder }: TestNode, ms: number): void {
  recorder.onApply = () => {
    const end = performance.now() + ms
    while (performance.now() < end);
  }
}

test('a follower with a slow state machine holds a bounded part of the log in memory, and slows nobody down', async () => {
  const leader = await startThree()
  const slow = fleet.followers(leader)[0]!
  slowDown(slow, 4)
  const payload = Buffer.alloc(ENTRY_BYTES, 'x')
  const count = (48 * MIB) / ENTRY_BYTES
  let most = 0
  for (let proposed = 0; proposed < count; ) {
    while (proposed < count && leader.replica.propose(payload).kind === 'accepted') proposed++
    await new Promise((resolve) => setImmediate(resolve))
    most = Math.max(most, slow.replica.status().raft.lastIndex - slow.recorder.applied.length)
  }
  const healthy = fleet.running.filter((node) => node !== slow)
  await eventually('the others have it all', () => healthy.every(({ recorder }) => recorder.applied.length === count))
  expect(slow.recorder.applied.length, 'it is still at work').toBeLessThan(count)
  // 8 MiB wait to be applied, and what was on its way when that was reached: 4 MiB in flight.
  expect(most * ENTRY_BYTES).toBeLessThan(16 * MIB)
  slow.recorder.onApply = undefined
  await fleet.applied(count)
  expect(fleet.running.flatMap(({ fatal }) => fatal)).toEqual([])
})
