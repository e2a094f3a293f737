import type { Prng } from '../../base/index.ts'
import type { HttpChaos } from '../participants/http-world.ts'
import type { BankPlan } from './bank-plan.ts'

/** What a seed decides about a bank over every kind of participant. */
export interface MixedPlan {
  readonly bank: BankPlan
  readonly accounts: number
  readonly stores: readonly StorePlan[]
  readonly services: readonly ServicePlan[]
  /** Chance of an operation to be an audit. */
  readonly audits: number
  readonly chaos: HttpChaos
  /** Chance of a participant that votes to commit to die right then, or soon. */
  readonly deathsAtVotes: number
  /** How long coordinators wait for an answer over HTTP. */
  readonly httpTimeoutMs: number
}

export interface StorePlan {
  readonly name: string
  readonly lockTimeoutMs: number
  readonly checkpointBytes: number
  readonly segmentBytesMax: number
}

export interface ServicePlan {
  readonly name: string
  readonly instances: number
  readonly isHttp: boolean
  readonly lockWaitMs: number
  readonly rewriteRecords: number
}

/** At least one store; mostly a database of each kind and a service of each kind as well. */
export function drawMixed(random: Prng): MixedPlan {
  const accounts = random.pick([3, 8, 20])
  const openingBalance = 100
  const database = (name: string, number: number, engine: 'postgres' | 'mariadb') => ({
    name,
    host: `127.0.2.${number}`,
    engine,
    accounts,
    openingBalance,
    preparedMax: 64,
    lockTimeoutMs: random.pick([300, 2_000]),
    witness: true,
    otherDriver: random.chance(0.3),
  })
  const databases = [database('flights', 1, 'postgres'), database('hotels', 2, 'mariadb')]
  const store = (name: string): StorePlan => ({
    name,
    lockTimeoutMs: random.pick([300, 2_000]),
    checkpointBytes: random.pick([400, 4_000, 8 * 1024 * 1024]),
    segmentBytesMax: random.pick([16, 64]) * 1024,
  })
  const service = (name: string, isHttp: boolean): ServicePlan => ({
    name,
    isHttp,
    instances: random.between(1, 2),
    lockWaitMs: random.pick([200, 1_500]),
    rewriteRecords: random.pick([10, 60, 20_000]),
  })
  const stores = [store('seats'), store('meals')]
  const services = [service('cards', false), service('points', true)]
  const sometimes = (chances: readonly number[]): number => (random.chance(0.4) ? random.pick(chances) : 0)
  return {
    bank: { openingBalance, databases: databases.filter(() => random.chance(0.85)), meddlings: 0 },
    accounts,
    stores: random.chance(0.4) ? stores : stores.slice(0, 1),
    services: services.filter(() => random.chance(0.8)),
    audits: random.pick([0.04, 0.12]),
    deathsAtVotes: random.pick([0, 0.03, 0.15]),
    chaos: {
      requestLost: sometimes([0.01, 0.1]),
      answerLost: sometimes([0.01, 0.1]),
      badGateway: sometimes([0.01, 0.1]),
      twice: sometimes([0.05, 0.3]),
    },
    httpTimeoutMs: random.pick([300, 1_000, 5_000]),
  }
}
