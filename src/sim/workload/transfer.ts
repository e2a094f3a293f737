import { type Clock, sleep } from '../../base/index.ts'
import type { Transaction } from '../../client/index.ts'
import type { Attempt } from '../oracle/index.ts'
import type { Leg, Mischief, Operation } from './operation.ts'
import type { Place, PlaceClient } from './place.ts'

/** The application itself says no: an account is short, or it was told to fail. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

/** What a callback works with. */
export interface Desk {
  readonly clock: Clock
  readonly clientOf: (place: Place) => PlaceClient
  readonly attempt: Attempt
  readonly mischief: Mischief
  /** How long `dawdle` takes. */
  readonly dawdleMs: number
}

/** What a user of concordat writes: the callback of one transaction. Resolves to the sum of all balances that it read. */
export async function carryOut(tx: Transaction, { id, legs, parallel }: Operation, desk: Desk): Promise<number> {
  const work = (leg: Leg): Promise<number> => desk.clientOf(leg.place).work(tx, id, leg, desk.attempt)
  let sum = 0
  if (parallel) await Promise.all(legs.map(work))
  else for (const leg of legs) sum += await work(leg)
  await misbehave(tx, legs[0]!, desk)
  return sum
}

async function misbehave(tx: Transaction, leg: Leg, desk: Desk): Promise<void> {
  const { failing } = desk.clientOf(leg.place)
  switch (desk.mischief) {
    case 'none':
      return
    case 'fail':
      throw new Refused('it changed its mind')
    case 'abort':
      return tx.abort()
    case 'dawdle':
      return sleep(desk.clock, desk.dawdleMs)
    case 'swallow':
      return failing?.swallow(tx, leg, desk.attempt)
    case 'unheard':
      return failing?.unheard(tx, leg, desk.attempt)
    case 'unawaited':
      return failing?.unawaited(tx, leg)
  }
}
