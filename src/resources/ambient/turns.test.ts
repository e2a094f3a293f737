import { expect, test } from 'vitest'
import { VirtualClock } from '../../coordinator/virtual-clock.test-support.ts'
import type { AmbientTransaction } from './context.ts'
import { Lease } from './lease.ts'
import { BranchTurns, NESTED_WAIT_MS } from './turns.ts'

/** A branch whose session notes what it is sent. */
class Bench {
  readonly clock = new VirtualClock()
  readonly turns = new BranchTurns('flights', this.clock)
  readonly sent: string[] = []
  underWay = 0
  /** Fails the statements that begin so. */
  failing: string | undefined

  lease(): Lease {
    const tx: AmbientTransaction = {
      txid: 'x' as AmbientTransaction['txid'],
      transaction: {},
      enlist: () => Promise.reject(new Error('not here')),
      started: () => {
        this.underWay += 1
        return () => {
          this.underWay -= 1
        }
      },
    }
    return new Lease({ tx, resource: 'flights', turns: this.turns, send: (sql) => this.send(sql), nothing: 'nothing' })
  }

  async send(sql: string): Promise<string> {
    await undefined
    this.sent.push(sql)
    if (this.failing !== undefined && sql.startsWith(this.failing)) throw new Error(`${sql} failed`)
    return sql
  }

  run(lease: Lease, sql: string): Promise<unknown> {
    return lease.run(sql, () => this.send(sql))
  }
}

test('BEGIN, COMMIT and ROLLBACK in all their forms are savepoints, and what only looks like them is sent as it is', async () => {
  const bench = new Bench()
  const lease = bench.lease()
  const forms = [
    'BEGIN',
    'commit;',
    ' start transaction ;',
    'END',
    'begin work',
    '/* orm */ ROLLBACK',
    'begin',
    'abort',
  ]
  for (const form of forms) await bench.run(lease, form)
  await bench.run(lease, 'ROLLBACK TO SAVEPOINT mine')
  await bench.run(lease, "select 'begin'")
  expect(bench.sent).toEqual([
    'SAVEPOINT concordat_1',
    'RELEASE SAVEPOINT concordat_1',
    'SAVEPOINT concordat_2',
    'RELEASE SAVEPOINT concordat_2',
    'SAVEPOINT concordat_3',
    'ROLLBACK TO SAVEPOINT concordat_3',
    'RELEASE SAVEPOINT concordat_3',
    'SAVEPOINT concordat_4',
    'ROLLBACK TO SAVEPOINT concordat_4',
    'RELEASE SAVEPOINT concordat_4',
    'ROLLBACK TO SAVEPOINT mine',
    "select 'begin'",
  ])
  for (const form of ['BEGIN ISOLATION LEVEL SERIALIZABLE', 'START TRANSACTION READ ONLY']) {
    await expect(bench.run(lease, form)).rejects.toMatchObject({ code: 'BRANCH_STATEMENT_REFUSED' })
  }
  expect(bench.underWay).toBe(0)
})

test('statements that nobody awaits keep their order, BEGIN among them', async () => {
  const bench = new Bench()
  const lease = bench.lease()
  await Promise.all(['a', 'BEGIN', 'b', 'c'].map((sql) => bench.run(lease, sql)))
  expect(bench.sent).toEqual(['a', 'SAVEPOINT concordat_1', 'b', 'c'])
})

test('while a nested transaction is open the others wait, and go in the order of coming', async () => {
  const bench = new Bench()
  const [owner, other, third] = [bench.lease(), bench.lease(), bench.lease()]
  await bench.run(owner, 'BEGIN')
  const waiting = ['one', 'BEGIN', 'inner'].map((sql) => bench.run(other, sql))
  const last = bench.run(third, 'last')
  await bench.run(owner, 'own')
  expect(bench.sent).toEqual(['SAVEPOINT concordat_1', 'own'])
  await bench.run(owner, 'COMMIT')
  await Promise.all(waiting)
  expect(bench.sent.slice(3)).toEqual(['one', 'SAVEPOINT concordat_2', 'inner'])
  await bench.run(other, 'ROLLBACK')
  await last
  expect(bench.sent.at(-1)).toBe('last')
})

test('who waits too long is refused, with nothing sent, and holds up nobody', async () => {
  const bench = new Bench()
  const [owner, inside] = [bench.lease(), bench.lease()]
  await bench.run(owner, 'BEGIN')
  const refused = expect(bench.run(inside, 'through the pool')).rejects.toMatchObject({ code: 'BRANCH_NESTED_OPEN' })
  const also = expect(bench.run(bench.lease(), 'BEGIN')).rejects.toMatchObject({ code: 'BRANCH_NESTED_OPEN' })
  bench.clock.advance(NESTED_WAIT_MS)
  await refused
  await also
  await bench.run(owner, 'COMMIT')
  await bench.run(inside, 'now')
  expect(bench.sent).toEqual(['SAVEPOINT concordat_1', 'RELEASE SAVEPOINT concordat_1', 'now'])
  expect(bench.underWay).toBe(0)
})

test('a savepoint that can not be made leaves the branch to the others; one that a deadlock took is no error of its own', async () => {
  const bench = new Bench()
  const lease = bench.lease()
  bench.failing = 'SAVEPOINT'
  await expect(bench.run(lease, 'BEGIN')).rejects.toThrow('SAVEPOINT concordat_1 failed')
  await bench.run(bench.lease(), 'free')
  bench.failing = undefined
  await bench.run(lease, 'BEGIN')
  bench.failing = 'ROLLBACK'
  const deadlock = lease.run('update', () => Promise.reject(new Error('deadlock')))
  await expect(deadlock).rejects.toThrow('deadlock')
  expect(await bench.run(lease, 'ROLLBACK')).toBe('nothing')
  await bench.run(lease, 'BEGIN')
  await expect(bench.run(lease, 'ROLLBACK')).rejects.toThrow('failed')
  expect(bench.underWay).toBe(0)
})
