// Moves money of the crash test, one unit at a time, until it is killed. It runs what was built, as transfer-service.mjs does.

import { Concordat } from 'concordat'
import { postgres } from 'concordat/postgres'
import pg from 'pg'

const { coordinators, url, service, accounts } = JSON.parse(process.argv[2])
const pool = new pg.Pool({ connectionString: url, max: 12 })
pool.on('error', () => {})
const near = postgres(pool, { name: 'near' })
const concordat = new Concordat({ coordinators, timeoutMs: 2_000 })

async function move(account) {
  await concordat.transaction(async (tx) => {
    const db = await tx.enlist(near)
    await db.query('update accounts set balance = balance - 1 where id = $1', [account])
    const answer = await tx.fetch(service, { method: 'POST', body: String(account) })
    if (!answer.ok) throw new Error(await answer.text())
  })
}

/** Each worker has accounts of its own, so that nothing waits for a lock but what a dead process left. */
async function work(worker) {
  for (let round = 0; ; round++) {
    await move((worker + round * 4) % accounts).catch(() => new Promise((resolve) => setTimeout(resolve, 10)))
  }
}

console.log('ready')
await Promise.all([0, 1, 2, 3].map(work))
