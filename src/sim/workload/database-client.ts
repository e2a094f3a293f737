import type { Transaction } from '../../client/index.ts'
import type { Resource } from '../../resources/index.ts'
import type { Attempt } from '../oracle/index.ts'
import type { BankDatabase } from './bank-database.ts'
import type { Leg } from './operation.ts'
import type { FailingStatements, PlaceClient } from './place.ts'
import { Refused } from './transfer.ts'

/** An application's way to a simulated database: the production adapter, and SQL. */
export class DatabaseClient implements PlaceClient, FailingStatements {
  readonly failing = this
  readonly #database: BankDatabase
  readonly #resource: Resource<unknown>

  constructor(database: BankDatabase, resource: Resource<unknown>) {
    this.#database = database
    this.#resource = resource
  }

  async work(tx: Transaction, operation: string, leg: Leg, attempt: Attempt): Promise<number> {
    const database = this.#database
    const { account, amount, isLocked } = leg
    const session = await tx.enlist(this.#resource)
    if (amount === 0) {
      const text = `SELECT balance FROM accounts WHERE id = $1${isLocked === true ? ' FOR UPDATE' : ''}`
      return Number((await database.query(session, text, [account]))[0]!.balance)
    }
    const rows = await database.query(session, 'SELECT balance FROM accounts WHERE id = $1 FOR UPDATE', [account])
    const balance = Number(rows[0]!.balance)
    if (balance + amount < 0) throw new Refused(`account ${account} is short`)
    attempt.effects.push({ database: database.name, account, amount })
    await database.query(session, 'UPDATE accounts SET balance = balance + $1 WHERE id = $2', [amount, account])
    const entry = [operation, tx.txid, account, amount]
    await database.query(session, 'INSERT INTO entries VALUES ($1, $2, $3, $4)', entry)
    return balance
  }

  async swallow(tx: Transaction, { account }: Leg, attempt: Attempt): Promise<void> {
    const database = this.#database
    const session = await tx.enlist(this.#resource)
    attempt.effects.push({ database: database.name, account, amount: 1 })
    await database.query(session, 'UPDATE accounts SET balanc = balance + 1 WHERE id = $1', [account]).catch(() => {})
  }

  async unheard(tx: Transaction, { account }: Leg, attempt: Attempt): Promise<void> {
    const session = await tx.enlist(this.#resource)
    if (this.#database.failUnheard(session)) {
      attempt.effects.push({ database: this.#database.name, account, amount: 1 })
    }
  }

  async unawaited(tx: Transaction, { account }: Leg): Promise<void> {
    const session = await tx.enlist(this.#resource)
    this.#database.query(session, 'SELECT balance FROM accounts WHERE id = $1', [account]).catch(() => {})
  }

  async close(): Promise<void> {}
}
