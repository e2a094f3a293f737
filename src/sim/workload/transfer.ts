import { type Clock, sleep } from '../../base/index.ts'
import type { Transaction } from '../../client/index.ts'
import type { Resource } from '../../resources/index.ts'
import type { Attempt } from '../oracle/index.ts'
import type { BankDatabase } from './bank-database.ts'
import type { Leg, Mischief, Operation } from './operation.ts'

/** The application itself says no: an account is short, or it was told to fail. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

/** What a callback works with. */
export interface Desk {
  readonly clock: Clock
  readonly resourceOf: (database: BankDatabase) => Resource<unknown>
  readonly attempt: Attempt
  readonly mischief: Mischief
  /** How long `dawdle` takes. */
  readonly dawdleMs: number
}

/** What a user of concordat writes: the callback of one transaction. */
export async function carryOut(tx: Transaction, { id, legs, parallel }: Operation, desk: Desk): Promise<void> {
  if (parallel) await Promise.all(legs.map((leg) => workOn(tx, id, leg, desk)))
  else for (const leg of legs) await workOn(tx, id, leg, desk)
  await misbehave(tx, legs[0]!, desk)
}

async function workOn(tx: Transaction, operation: string, leg: Leg, desk: Desk): Promise<void> {
  const { database, account, amount } = leg
  const session = await tx.enlist(desk.resourceOf(database))
  if (amount === 0) {
    await database.query(session, 'SELECT balance FROM accounts WHERE id = $1', [account])
    return
  }
  const rows = await database.query(session, 'SELECT balance FROM accounts WHERE id = $1 FOR UPDATE', [account])
  if (Number(rows[0]!.balance) + amount < 0) throw new Refused(`account ${account} is short`)
  desk.attempt.effects.push({ database: database.name, account, amount })
  await database.query(session, 'UPDATE accounts SET balance = balance + $1 WHERE id = $2', [amount, account])
  const entry = [operation, tx.txid, account, amount]
  await database.query(session, 'INSERT INTO entries VALUES ($1, $2, $3, $4)', entry)
}

async function misbehave(tx: Transaction, { database, account }: Leg, desk: Desk): Promise<void> {
  switch (desk.mischief) {
    case 'none':
      return
    case 'fail':
      throw new Refused('it changed its mind')
    case 'abort':
      return tx.abort()
    case 'dawdle':
      return sleep(desk.clock, desk.dawdleMs)
    case 'swallow': {
      const session = await tx.enlist(desk.resourceOf(database))
      desk.attempt.effects.push({ database: database.name, account, amount: 1 })
      await database.query(session, 'UPDATE accounts SET balanc = balance + 1 WHERE id = $1', [account]).catch(() => {})
      return
    }
    case 'unheard': {
      const session = await tx.enlist(desk.resourceOf(database))
      if (database.failUnheard(session)) desk.attempt.effects.push({ database: database.name, account, amount: 1 })
      return
    }
    case 'unawaited': {
      const session = await tx.enlist(desk.resourceOf(database))
      database.query(session, 'SELECT balance FROM accounts WHERE id = $1', [account]).catch(() => {})
    }
  }
}
