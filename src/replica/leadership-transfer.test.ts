import { expect, test } from 'vitest'
import { type Clock, type NodeId, parseNodeId } from '../base/index.ts'
import { type RaftEvent, type RaftStatus, simpleConfiguration, type Term } from '../raft/index.ts'
import { LeadershipTransfer } from './leadership-transfer.ts'

const [ONE, TWO, THREE] = [1, 2, 3].map(parseNodeId) as [NodeId, NodeId, NodeId]
const PATIENCE_MS = 600

/** A leader's side of a transfer, with a clock whose timers fire when the test says so. */
function leading() {
  const timers = new Map<object, { readonly delayMs: number; readonly task: () => void }>()
  const events: RaftEvent[] = []
  const clock: Clock = {
    monotonicMs: () => 0,
    wallMs: () => 0,
    after: (delayMs, task) => {
      const timer = { timer: {} }
      timers.set(timer, { delayMs, task })
      return timer
    },
    every: () => {
      throw new Error('not used')
    },
    cancel: (timer) => timers.delete(timer),
  }
  let transferTarget: NodeId | undefined
  const status = () =>
    ({
      role: 'leader',
      leader: ONE,
      configuration: simpleConfiguration([ONE, TWO, THREE]),
      followers: [],
      transferTarget,
    }) as unknown as RaftStatus
  const transfer = new LeadershipTransfer({
    nodeId: ONE,
    clock,
    patienceMs: PATIENCE_MS,
    status,
    minorOf: () => 1,
    enqueue: (event) => events.push(event),
  })
  return {
    transfer,
    events,
    timers,
    began: (target: NodeId) => {
      transferTarget = target
    },
    deposed: (leader?: NodeId) => transfer.roleChanged(roleChange('follower', leader)),
  }
}

function roleChange(role: 'leader' | 'follower', leader: NodeId | undefined) {
  return { kind: 'roleChanged', role, term: 2 as Term, leader } as const
}

/** What became of a promise, once all that is due has run. */
async function settled(promise: Promise<unknown>): Promise<unknown> {
  const open = new Promise((resolve) => setImmediate(() => resolve('open')))
  return await Promise.race([promise.catch((error: unknown) => error), open])
}

test('whoever asks for another target while the leadership is handed over is told so, and disturbs nobody', async () => {
  const { transfer, events, deposed } = leading()
  const first = transfer.transfer(TWO)
  await expect(transfer.transfer(THREE)).rejects.toMatchObject({ code: 'TRANSFER_FAILED', reason: 'busy' })
  expect(await settled(first)).toBe('open')
  deposed(TWO)
  expect(await settled(first)).toBe(TWO)
  expect(events).toEqual([{ kind: 'transferLeadership', to: TWO }])
})

test('whoever asks for the same target, or for any, waits along with the first', async () => {
  const { transfer, events, deposed, began } = leading()
  const waiting = [transfer.transfer(), transfer.transfer()]
  began(TWO)
  waiting.push(transfer.transfer(TWO), transfer.transfer())
  await expect(transfer.transfer(THREE)).rejects.toMatchObject({ reason: 'busy' })
  deposed(TWO)
  for (const each of waiting) expect(await settled(each)).toBe(TWO)
  expect(events).toHaveLength(1)
})

test('a transfer that failed is over: the next one begins anew', async () => {
  const { transfer, events } = leading()
  const first = transfer.transfer(TWO)
  transfer.failed({ kind: 'transferFailed', reason: 'timeout' })
  expect(await settled(first)).toMatchObject({ code: 'TRANSFER_FAILED', reason: 'timeout' })
  const second = transfer.transfer(THREE)
  expect(events).toHaveLength(2)
  transfer.failed({ kind: 'transferFailed', reason: 'noTarget' })
  expect(await settled(second)).toMatchObject({
    reason: 'noTarget',
    message: expect.stringContaining('node 3 is not alive and near enough'),
  })
})

test('a node that was deposed waits for a word of the new leader, but not for ever', async () => {
  const { transfer, deposed, timers } = leading()
  const heard = transfer.transfer(TWO)
  deposed()
  expect([...timers.values()].map(({ delayMs }) => delayMs)).toEqual([PATIENCE_MS])
  expect(await settled(heard)).toBe('open')
  deposed(THREE)
  expect(await settled(heard)).toBe(THREE)
  expect(timers.size, 'nothing is left behind').toBe(0)

  const unheard = transfer.transfer(TWO)
  deposed()
  deposed()
  expect(timers.size).toBe(1)
  for (const { task } of timers.values()) task()
  expect(await settled(unheard)).toMatchObject({ code: 'NOT_LEADER' })
})

test('a node that leads again before it heard of another says that nobody took over', async () => {
  const { transfer, deposed, timers } = leading()
  const transferred = transfer.transfer(TWO)
  deposed()
  transfer.roleChanged(roleChange('leader', ONE))
  expect(await settled(transferred)).toMatchObject({ code: 'TRANSFER_FAILED', reason: 'timeout' })
  expect(timers.size).toBe(0)
})

test('a node that stops leaves nobody waiting, and no timer', async () => {
  const { transfer, deposed, timers } = leading()
  const transferred = transfer.transfer(TWO)
  deposed()
  transfer.close()
  expect(await settled(transferred)).toMatchObject({ code: 'NOT_LEADER' })
  expect(timers.size).toBe(0)
})
