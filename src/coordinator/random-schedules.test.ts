import { expect, test } from 'vitest'
import { Prng, type Txid } from '../base/index.ts'
import { type Answer, Bench, branch, LOCAL, MIXED, newTxid, settle } from './coordinator.test-support.ts'

/** Every answer that was given for a transaction, over all leaders. */
type Asked = { readonly txid: Txid; readonly answer: Answer }

const SCHEDULES = 200
const STEPS = 60

test('P2, P3, P8: over random requests, votes, back-pressure and lost leaders, each caller hears one answer and nobody another outcome', async () => {
  for (let seed = 1; seed <= SCHEDULES; seed++) await runSchedule(seed)
})

async function runSchedule(seed: number): Promise<void> {
  const prng = new Prng(seed)
  const bench = await Bench.leading({ backPressureMaxMs: 50 })
  const txids = Array.from({ length: 8 }, () => newTxid())
  const asked: Asked[] = []
  for (let step = 0; step < STEPS; step++) {
    const txid = prng.pick(txids)
    const branches = txids.indexOf(txid) % 2 === 0 ? LOCAL : MIXED
    const ask = (answer: Answer) => asked.push({ txid, answer })
    const action = prng.below(14)
    if (action < 3) ask(bench.commit(txid, branches, { timeoutMs: 200 }))
    else if (action === 3) ask(bench.abort(txid, prng.chance(0.5) ? [branch(0, 'flights')] : []))
    else if (action === 4) ask(bench.inquire(txid, prng.chance(0.5)))
    else if (action < 8) bench.vote(txid, prng.between(0, 2), prng.chance(0.1) ? 'abort' : 'commit')
    else if (action === 8) bench.ack(txid, prng.between(0, 2))
    else if (action === 9) bench.log.held = !bench.log.held
    else if (action === 10) bench.log.refuse = prng.pick([undefined, undefined, 'backPressure', 'diskFull'])
    else if (action === 11) bench.log.commit(prng.below(3))
    else if (action === 12) await bench.clock.advance(prng.below(150))
    else bench.log.follow(prng.below(3))
    if (prng.chance(0.5)) await settle()
    if (!bench.coordinator.isLeading && prng.chance(0.6)) bench.log.lead()
  }
  await finish(bench)
  judge(seed, bench, asked)
}

/** Lets everything that is under way come to its end. */
async function finish(bench: Bench): Promise<void> {
  bench.log.held = false
  bench.log.refuse = undefined
  if (!bench.coordinator.isLeading) bench.log.lead()
  bench.log.commit()
  await bench.clock.advance(2_000)
}

function judge(seed: number, bench: Bench, asked: readonly Asked[]): void {
  const decided = bench.log.records().filter(({ kind }) => kind === 'commit' || kind === 'aborted')
  for (const { txid, answer } of asked) {
    const what = `seed ${seed}, ${txid}`
    expect(answer.replies, what).toHaveLength(1)
    const reply = answer.replies[0]!
    if (reply.kind === 'refused' || reply.outcome.kind === 'preparing' || reply.outcome.kind === 'unknown') continue
    // P2: what anybody heard is what the log's first decision says.
    expect(reply.outcome, what).toEqual(bench.coordinator.knowledge(txid))
    const first = decided.find((record) => 'txid' in record && record.txid === txid)
    expect(first?.kind, what).toBe(reply.outcome.kind === 'committed' ? 'commit' : 'aborted')
  }
  expect(bench.coordinator.status(), `seed ${seed}`).toMatchObject({ openCount: 0, queuedCount: 0, preparingCount: 0 })
}
