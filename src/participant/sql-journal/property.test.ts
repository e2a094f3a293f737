import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Txid } from '../../base/index.ts'
import { type LocalServer, LocalServers } from '../../localdb/index.ts'
import type { Vote } from '../../txn/index.ts'
import { BRANCH, ContractInstance, gidOf, newTxid } from './journal.contract.ts'
import { postgresJournal } from './opening.ts'
import { type Send, SqlWorld, WORK_TABLE } from './sql-world.test-support.ts'

const servers = new LocalServers()
let server: LocalServer
let pool: pg.Pool
beforeAll(async () => {
  server = await servers.startPostgres()
  pool = new pg.Pool({ connectionString: server.url(), max: 10 })
  pool.on('error', () => {})
  await pool.query(WORK_TABLE)
  for (const statement of postgresJournal(pool).schema.split(';\n')) await pool.query(statement)
})
afterAll(async () => {
  await pool?.end()
  await servers.close()
})

/** How often each comes: most branches get as far as their vote. */
const KINDS = [
  ...(['work', 'work', 'work', 'prepare', 'prepare', 'prepare'] as const),
  ...(['failingWork', 'decide', 'restart', 'cut'] as const),
] as const

/** A step at one of two instances, for one of three branches; what was begun before may still be under way. */
const step = fc.record({
  kind: fc.constantFrom(...KINDS),
  instance: fc.nat(1),
  branch: fc.nat(2),
  isAwaited: fc.boolean(),
})
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

/** A branch as its coordinator sees it: it decides once, commit only after a vote to commit, and counts no vote afterwards. */
interface Known {
  readonly txid: Txid
  readonly votes: Vote[]
  decision: 'commit' | 'abort' | undefined
}

test('P1, P4: whatever comes in whatever order at two instances that restart, work is real once or not at all, as decided', async () => {
  const send =
    (sql: pg.PoolClient): Send =>
    async (text, ...values) =>
      (await sql.query(text.replace('?', '$1'), [...values])).rows
  const look: Send = async (text, ...values) => (await pool.query(text.replace('?', '$1'), [...values])).rows
  const world = new SqlWorld(postgresJournal(pool), send, look)
  const counts = { committed: 0, aborted: 0 }

  const run = async (steps: readonly Step[]): Promise<void> => {
    const start = () => ContractInstance.start(world)
    const instances = [await start(), await start()]
    const known: readonly Known[] = [0, 1, 2].map(() => ({ txid: newTxid(), votes: [], decision: undefined }))
    const underWay: Promise<unknown>[] = []
    for (const { kind, instance, branch, isAwaited } of steps) {
      const mail = instances[instance]!
      const each = known[branch]!
      const work = perform(kind, mail, each)
      if (kind === 'restart') instances[instance] = await start()
      if (isAwaited) await work
      else underWay.push(work)
    }
    await Promise.all(underWay)
    for (const each of known) {
      each.decision ??= each.votes[0] === 'commit' ? 'commit' : 'abort'
      for (const mail of instances) await mail.decide(each.txid, each.decision)
      expect(await world.effect(gidOf(each.txid))).toBe(each.decision === 'commit' ? 'real 1' : 'nothing')
      // Before the decision every vote is the same one.
      expect(new Set(each.votes).size, each.votes.join()).toBeLessThan(2)
      counts[each.decision === 'commit' ? 'committed' : 'aborted'] += 1
    }
    for (const mail of instances) {
      expect(mail.errors).toEqual([])
      await mail.stop()
    }
    const mine = known.map(({ txid }) => gidOf(txid))
    const open = await look("SELECT gid, state FROM concordat_journal WHERE state IN ('joined', 'prepared', 'refused')")
    expect(open.filter(({ gid }) => mine.includes(String(gid)))).toEqual([])
  }

  const perform = async (kind: Step['kind'], mail: ContractInstance<pg.PoolClient>, each: Known): Promise<void> => {
    const { txid } = each
    switch (kind) {
      case 'work':
        return mail.work(txid).catch(() => {})
      case 'failingWork':
        return mail.work(txid, () => Promise.reject(new Error('no'))).catch(() => {})
      case 'prepare': {
        const vote = await mail.prepare(txid, 200)
        if (each.decision === undefined && vote !== 'none') each.votes.push(vote)
        return
      }
      case 'decide':
        each.decision ??= each.votes[0] === 'commit' ? 'commit' : 'abort'
        mail.keeper.decide(txid, BRANCH, each.decision)
        return
      case 'restart':
        return mail.stop()
      case 'cut':
        // Whatever is in a local transaction at this moment loses its connection.
        await pool.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()",
        )
    }
  }

  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), (steps) => run(steps)),
    { numRuns: 20, endOnFailure: true },
  )
  expect(counts.committed).toBeGreaterThan(1)
  expect(counts.aborted).toBeGreaterThan(1)
}, 60_000)
