import pg from 'pg'
import { Concordat } from '../../src/client/index.ts'
import { postgres } from '../../src/resources/index.ts'

/** What the crash test tells a caller that moves money, one unit at a time, until it is killed. */
export interface CallerOrders {
  readonly coordinators: readonly string[]
  readonly url: string
  readonly service: string
  readonly accounts: number
}

const { coordinators, url, service, accounts } = JSON.parse(process.argv[2] ?? '') as CallerOrders
const pool = new pg.Pool({ connectionString: url, max: 12 })
pool.on('error', () => {})
const near = postgres(pool, { name: 'near' })
const concordat = new Concordat({ coordinators, timeoutMs: 2_000 })

async function move(account: number): Promise<void> {
  await concordat.transaction(async (tx) => {
    const db = await tx.enlist(near)
    await db.query('update accounts set balance = balance - 1 where id = $1', [account])
    const answer = await tx.fetch(service, { method: 'POST', body: String(account) })
    if (!answer.ok) throw new Error(await answer.text())
  })
}

/** Each worker has accounts of its own, so that nothing waits for a lock but what a dead process left. */
async function work(worker: number): Promise<void> {
  for (let round = 0; ; round++) {
    await move((worker + round * 4) % accounts).catch(() => new Promise((resolve) => setTimeout(resolve, 10)))
  }
}

console.log('ready')
await Promise.all([0, 1, 2, 3].map(work))
