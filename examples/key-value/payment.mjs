// An application: a seat in a database and money in the key-value participant, both or neither.
// COORDINATORS=… DATABASE=postgres://… ACCOUNTS=127.0.0.1:7500 node payment.mjs ada 40
import { Concordat } from 'concordat'
import { kv } from 'concordat/kv'
import { postgres } from 'concordat/postgres'
import pg from 'pg'

const { COORDINATORS, DATABASE, ACCOUNTS } = process.env
const [who, amount] = process.argv.slice(2)
const pool = new pg.Pool({ connectionString: DATABASE })
await pool.query('create table if not exists seats (who text primary key)')

const concordat = new Concordat({ coordinators: COORDINATORS })
const flights = postgres(pool, { name: 'flights' })
const accounts = kv({ name: 'accounts', address: ACCOUNTS })

// Outside of transactions: each call is one by itself. Who is new begins with 100.
await accounts.compareAndSet(`balance/${who}`, undefined, 100)

/** Runs the payment, and again when it met another transaction: such errors say so. */
async function pay(attemptsLeft) {
  try {
    await concordat.transaction(async (tx) => {
      const seats = await tx.enlist(flights)
      await seats.query('insert into seats values ($1)', [who])

      const money = await tx.enlist(accounts)
      await money.add(`balance/${who}`, -Number(amount))
      await money.put(`paid/${tx.txid}`, `${who}: ${amount}`)
    })
  } catch (error) {
    if (!error.retryable || attemptsLeft === 0) throw error
    await pay(attemptsLeft - 1)
  }
}

try {
  await pay(3)
  console.log(`booked; ${await accounts.get(`balance/${who}`)} left`)
} catch (error) {
  console.log(`not booked: ${error.message}`)
} finally {
  await concordat.close()
  await accounts.close()
  await pool.end()
}
