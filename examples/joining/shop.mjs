// The caller: takes the money in its own database, and calls orders, which calls stock. All of it, or none.
// COORDINATORS=… DATABASE=postgres://… ORDERS=http://127.0.0.1:8082 node shop.mjs ada lamp 2
import { Concordat } from 'concordat'
import { postgres } from 'concordat/postgres'
import pg from 'pg'

const { COORDINATORS, DATABASE, ORDERS } = process.env
const [who, item, count] = process.argv.slice(2)
const pool = new pg.Pool({ connectionString: DATABASE })
const money = postgres(pool, { name: 'money' })
const concordat = new Concordat({ coordinators: COORDINATORS })

try {
  await concordat.transaction(async (tx) => {
    const db = await tx.enlist(money)
    await db.query('update accounts set balance = balance - 10 * $2 where id = $1', [who, Number(count)])
    const body = JSON.stringify({ who, item, count: Number(count) })
    const answer = await tx.fetch(ORDERS, { method: 'POST', body })
    if (!answer.ok) throw new Error(await answer.text())
  })
  console.log('bought')
} catch (error) {
  console.log(`not bought: ${error.message}`)
} finally {
  await concordat.close()
  await pool.end()
}
