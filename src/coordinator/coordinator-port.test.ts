import { expect, test } from 'vitest'
import { Bench, CLUSTER, LOCAL, newTxid, settle } from './coordinator.test-support.ts'
import { coordinatorPort } from './coordinator-port.ts'
import type { Reply } from './requests.ts'

const request = (timeoutMs = 5_000) => ({ clusterId: CLUSTER, txid: newTxid(), timeoutMs, branches: LOCAL })

/** The reply once it is there. */
function watch(promise: Promise<Reply>): { reply: Reply | undefined } {
  const watched: { reply: Reply | undefined } = { reply: undefined }
  void promise.then((reply) => {
    watched.reply = reply
  })
  return watched
}

test('a request waits for its coordinator to lead', async () => {
  const bench = new Bench()
  await bench.coordinator.start()
  const port = coordinatorPort(bench.coordinator, bench.clock)
  expect(await port.clusterId({ timeoutMs: 1 })).toBe(CLUSTER)
  const watched = watch(port.commit(request()))
  await bench.clock.advance(1_000)
  expect(watched.reply).toBeUndefined()
  bench.log.lead()
  await bench.clock.advance(100)
  expect(watched.reply).toEqual({ kind: 'outcome', outcome: { kind: 'committed' } })
})

test('a request whose leadership was lost is repeated with the same txid and hears the decision', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const watched = watch(coordinatorPort(bench.coordinator, bench.clock).commit(request()))
  await settle()
  bench.log.follow(1)
  await bench.clock.advance(100)
  bench.log.lead()
  bench.log.held = false
  await bench.clock.advance(100)
  expect(watched.reply).toEqual({ kind: 'outcome', outcome: { kind: 'committed' } })
  expect(bench.coordinator.status().committedCount).toBe(1)
})

test('P8: when the time is over, what may have taken effect is unknown, whatever the last refusal was', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const watched = watch(coordinatorPort(bench.coordinator, bench.clock).commit(request(1_000)))
  await settle()
  bench.log.follow()
  await bench.clock.advance(2_000)
  expect(watched.reply).toMatchObject({ kind: 'refused', code: 'OUTCOME_PENDING' })
})

test('P8: a request that is never answered is unknown when its time is over', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const watched = watch(coordinatorPort(bench.coordinator, bench.clock).commit(request(1_000)))
  await bench.clock.advance(2_000)
  expect(watched.reply).toMatchObject({ kind: 'refused', code: 'OUTCOME_PENDING' })
})

test('a refusal that repeating can not change comes at once', async () => {
  const bench = await Bench.leading()
  const port = coordinatorPort(bench.coordinator, bench.clock)
  expect(await port.commit({ ...request(), branches: [] })).toMatchObject({ code: 'TXN_VOTES_INCOMPLETE' })
})
