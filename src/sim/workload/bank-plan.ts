import type { Prng } from '../../base/index.ts'
import { noFaults, type ServerFaults } from '../databases/index.ts'
import type { BankDatabaseOptions } from './bank-database.ts'

/** What a seed decides about the bank. */
export interface BankPlan {
  readonly openingBalance: number
  readonly databases: readonly BankDatabaseOptions[]
  /** How often an administrator ends a prepared branch by hand; 0: never. */
  readonly meddlings: number
}

const NAMES = ['flights', 'hotels', 'payments']

/** Two or three databases, rarely all of one kind; few accounts, so that transactions meet. */
export function drawBank(random: Prng): BankPlan {
  const count = random.between(2, 3)
  const accounts = random.pick([5, 40, 200])
  const openingBalance = 100
  const witness = random.chance(0.7)
  const engines = random.pick<readonly ('postgres' | 'mariadb')[]>([
    ['postgres', 'mariadb', 'postgres'],
    ['mariadb', 'postgres', 'mariadb'],
    ['postgres', 'mariadb', 'postgres'],
    ['postgres', 'postgres', 'postgres'],
    ['mariadb', 'mariadb', 'mariadb'],
  ])
  const databases = NAMES.slice(0, count).map((name, index) => ({
    name,
    host: `127.0.2.${index + 1}`,
    engine: engines[index]!,
    accounts,
    openingBalance,
    preparedMax: random.pick([64, 64, 3]),
    lockTimeoutMs: random.pick([0, 300, 2_000]),
    witness,
    otherDriver: random.chance(0.3),
  }))
  return { openingBalance, databases, meddlings: random.chance(0.15) ? random.between(1, 20) : 0 }
}

/** One PostgreSQL and one MariaDB with evidence of everything, and nobody who meddles. */
export function calmBank(): BankPlan {
  const shared = { accounts: 40, openingBalance: 100, preparedMax: 64, lockTimeoutMs: 300, witness: true } as const
  const databases = (['postgres', 'mariadb'] as const).map((engine, index) => ({
    ...shared,
    name: NAMES[index]!,
    host: `127.0.2.${index + 1}`,
    engine,
    otherDriver: false,
  }))
  return { openingBalance: shared.openingBalance, databases, meddlings: 0 }
}

/** How one server misbehaves for as long as there are faults. Each kind is off in most runs. */
export function drawFaults(random: Prng): ServerFaults {
  const sometimes = (chances: readonly number[]): number => (random.chance(0.4) ? random.pick(chances) : 0)
  return {
    ...noFaults(),
    slowChance: sometimes([0.01, 0.05]),
    slowMs: [1, random.pick([20, 200, 2_000])],
    loseRequestChance: sometimes([0.002, 0.02]),
    loseAnswerChance: sometimes([0.002, 0.02]),
    terminateChance: sometimes([0.002, 0.01]),
    refuseChance: sometimes([0.02, 0.2]),
    settleMs: random.chance(0.3) ? [0, random.pick([5, 100, 1_000])] : [0, 0],
  }
}
