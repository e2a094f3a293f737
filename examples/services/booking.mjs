// An application: a seat in its own database and a payment in a service, both or neither.
// COORDINATORS=… DATABASE=postgres://… PAYMENTS=http://127.0.0.1:8081 node booking.mjs ada 40
import { Concordat, service } from 'concordat'
import { postgres } from 'concordat/postgres'
import pg from 'pg'

const { COORDINATORS, DATABASE, PAYMENTS } = process.env
const [who, amount] = process.argv.slice(2)
const pool = new pg.Pool({ connectionString: DATABASE })
await pool.query('create table if not exists seats (who text primary key)')

const concordat = new Concordat({ coordinators: COORDINATORS })
const flights = postgres(pool, { name: 'flights' })
const payments = service('payments')

try {
  await concordat.transaction(async (tx) => {
    const seats = await tx.enlist(flights)
    await seats.query('insert into seats values ($1)', [who])

    const payment = await tx.enlist(payments)
    const answer = await fetch(PAYMENTS, {
      method: 'POST',
      headers: payment.headers(),
      body: JSON.stringify({ account: who, amount: Number(amount) }),
      signal: tx.signal,
    })
    if (!answer.ok) throw new Error(`the payment was refused: ${await answer.text()}`)
  })
  console.log('booked')
} catch (error) {
  console.log(`not booked: ${error.message}`)
} finally {
  await concordat.close()
  await pool.end()
}
