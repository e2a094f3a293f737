import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { type BranchId, makeGid } from '../../src/base/index.ts'
import { Concordat } from '../../src/client/index.ts'
import { LocalServers } from '../../src/localdb/index.ts'
import { postgres } from '../../src/resources/index.ts'
import type { BranchRecord } from '../../src/txn/index.ts'
import { asCluster, newTxid, votedBranch } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'

const clusterId = asCluster('test')
const LOCAL = [votedBranch(0)]
/** A service that is known and never comes: its transactions stay open until their deadline. */
const ABSENT: readonly BranchRecord[] = [
  { branch: 0 as BranchId, kind: 'service', participant: 'mail', vote: undefined, evidence: undefined },
]

test('an application beyond its limit is refused and others are served; when it has room again, so is it', async () => {
  const config = { participants: ['mail'], clients: { openMax: 2 } }
  const fleet = await Fleet.start({ size: 1, config })
  const [greedy, modest] = [fleet.port('greedy'), fleet.port('modest')]
  const open = [newTxid(), newTxid()].map((txid) =>
    greedy.commit({ clusterId, txid, timeoutMs: 4_000, answerMs: 8_000, branches: ABSENT }),
  )
  const refused = await greedy.commit({ clusterId, txid: newTxid(), timeoutMs: 700, branches: LOCAL })
  expect(refused).toMatchObject({ kind: 'refused', code: 'CLIENT_OVER_QUOTA', retryable: true })
  expect(refused).toMatchObject({ message: expect.stringContaining('2 transactions (clients.openMax)') })
  const other = await modest.commit({ clusterId, txid: newTxid(), timeoutMs: 2_000, branches: LOCAL })
  expect(other).toMatchObject({ outcome: { kind: 'committed' } })
  // What frees locks is never refused.
  const given = { clusterId, txid: newTxid(), participant: undefined, branches: [] }
  expect(await greedy.abort(given, 2_000)).toMatchObject({ outcome: { kind: 'aborted' } })
  expect(await greedy.inquire({ clusterId, txid: newTxid(), settle: true }, 2_000)).toMatchObject({
    outcome: { kind: 'aborted' },
  })
  // The client repeats it by itself until there is room.
  const patient = greedy.commit({ clusterId, txid: newTxid(), timeoutMs: 8_000, branches: LOCAL })
  for (const reply of await Promise.all(open))
    expect(reply).toMatchObject({ outcome: { kind: 'aborted', reason: 'deadline' } })
  expect(await patient).toMatchObject({ outcome: { kind: 'committed' } })
})

test('limits that make no sense are refused before anything starts', async () => {
  const fleet = await Fleet.prepare({ size: 1, config: { clients: { openMax: 0 } } })
  fleet.start(1)
  await fleet.ended(1)
  expect(fleet.logOf(1)).toMatch(/clients\.openMax/)
})

test('transactions are refused, to be tried again, before branches left in doubt have used up the places of PostgreSQL', async () => {
  const servers = new LocalServers()
  onTestFinished(() => servers.close())
  const server = await servers.startPostgres({ settings: { max_prepared_transactions: '4' } })
  const pool = new pg.Pool({ connectionString: server.url(), max: 4 })
  pool.on('error', () => {})
  onTestFinished(() => pool.end())
  await pool.query('create table notes (id text)')
  const fleet = await Fleet.start({ size: 1 })
  const concordat = new Concordat({ coordinators: fleet.addresses, timeoutMs: 5_000 })
  onTestFinished(() => concordat.close())
  const book = () => {
    const database = postgres(pool, { name: 'notes' })
    return concordat.transaction(async (tx) => {
      await (await tx.enlist(database)).query("insert into notes values ('one')")
    })
  }
  await book()
  const gids = [0, 1, 2].map(() => makeGid(clusterId, newTxid(), 0 as BranchId))
  for (const gid of gids) {
    const session = await pool.connect()
    await session.query(`begin; insert into notes values ('left'); prepare transaction '${gid}'`)
    session.release()
  }
  // Three of four are used: the last one is for those at work.
  await expect(book()).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED', retryable: true })
  await expect(book()).rejects.toThrow(/holds 3 prepared branches, and nobody is let in from 3 on/)
  await pool.query(`rollback prepared '${gids[0]}'`)
  await book()
  expect((await pool.query('select id from notes')).rows).toHaveLength(2)
})
