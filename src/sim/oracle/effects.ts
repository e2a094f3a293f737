import type { Checker } from './checker.ts'

/** What one transaction was to write in one database. */
export interface IntendedEffect {
  readonly database: string
  readonly account: number
  readonly amount: number
}

/** One try to carry out an operation. */
export interface Attempt {
  readonly txid: string
  readonly operation: string
  /** Grows while the callback works. */
  readonly effects: IntendedEffect[]
}

/** A row that stands for one effect, as a database has it committed. */
export interface FoundEffect extends IntendedEffect {
  readonly txid: string
  readonly operation: string
}

/** One account as a database has it committed. */
export interface FoundAccount {
  readonly database: string
  readonly account: number
  readonly balance: number
}

/** What the databases hold at the end. */
export interface FoundState {
  readonly effects: readonly FoundEffect[]
  readonly accounts: readonly FoundAccount[]
}

/** What is known of transactions from elsewhere. */
export interface KnownOutcomes {
  /** The final answer that somebody heard. */
  readonly finalOf: (txid: string) => 'committed' | 'aborted' | undefined
  /** Whether an administrator ended a branch by hand: then parts of it may be there. */
  readonly isForced: (txid: string) => boolean
}

/**
 * Compares what the databases hold with what applications meant and heard:
 *
 * - P1: of each transaction all effects are there, or none.
 * - P3: of a committed one all, of an aborted one none.
 * - exactlyOnce: an operation took effect at most once, over all its attempts; and no effect came from nowhere.
 * - money: no account has more or less than its effects say, and the sum of all is what it was.
 */
export class Effects {
  readonly #checker: Checker
  readonly #attempts = new Map<string, Attempt>()

  constructor(checker: Checker) {
    this.#checker = checker
  }

  began(txid: string, operation: string): Attempt {
    const attempt: Attempt = { txid, operation, effects: [] }
    this.#attempts.set(txid, attempt)
    return attempt
  }

  check(found: FoundState, openingBalance: number, { finalOf, isForced }: KnownOutcomes): void {
    const byTxid = new Map<string, FoundEffect[]>()
    for (const effect of found.effects) {
      const list = byTxid.get(effect.txid)
      if (list === undefined) byTxid.set(effect.txid, [effect])
      else list.push(effect)
    }
    for (const [txid, effects] of byTxid) {
      if (!this.#attempts.has(txid)) this.#fail('exactlyOnce', `${describe(effects)} of ${txid} came from nowhere`)
    }
    const doneBy = new Map<string, string>()
    for (const attempt of this.#attempts.values()) {
      if (isForced(attempt.txid)) continue
      const effects = byTxid.get(attempt.txid) ?? []
      this.#checkAttempt(attempt, effects, finalOf(attempt.txid))
      if (effects.length > 0) this.#checkOnce(doneBy, attempt)
    }
    this.#checkMoney(found, openingBalance, isForced)
  }

  #checkAttempt(attempt: Attempt, found: readonly FoundEffect[], told: 'committed' | 'aborted' | undefined): void {
    const { txid, effects } = attempt
    if (told === 'aborted' && found.length > 0) {
      this.#fail('P3', `${txid} is said to be aborted, and left ${describe(found)}`)
    }
    if (told === 'committed' && found.length < effects.length) {
      this.#fail('P3', `${txid} is said to be committed; of ${describe(effects)} only ${describe(found)} is there`)
    }
    if (found.length !== 0 && found.length < effects.length) {
      this.#fail('P1', `of ${txid} only ${describe(found)} is there, of ${describe(effects)}`)
    }
    const left = effects.map(keyOf)
    for (const effect of found) {
      const index = left.indexOf(keyOf(effect))
      if (index < 0) this.#fail('exactlyOnce', `${describe([effect])} of ${txid} is there once too often`)
      else left.splice(index, 1)
    }
  }

  #checkOnce(doneBy: Map<string, string>, { txid, operation }: Attempt): void {
    const other = doneBy.get(operation)
    if (other !== undefined) this.#fail('exactlyOnce', `${operation} took effect by ${other} and again by ${txid}`)
    doneBy.set(operation, txid)
  }

  #checkMoney({ effects, accounts }: FoundState, openingBalance: number, isForced: KnownOutcomes['isForced']): void {
    const expected = new Map<string, number>()
    // Every whole transaction moves money from one place to another; a forced one may have lost a half.
    let forced = 0
    for (const { txid, database, account, amount } of effects) {
      if (isForced(txid)) forced += amount
      const key = `${database}/${account}`
      expected.set(key, (expected.get(key) ?? openingBalance) + amount)
    }
    let total = 0
    for (const { database, account, balance } of accounts) {
      total += balance
      const key = `${database}/${account}`
      const due = expected.get(key) ?? openingBalance
      if (balance !== due) this.#fail('money', `account ${key} has ${balance} and its entries say ${due}`)
    }
    const before = accounts.length * openingBalance + forced
    if (total !== before) this.#fail('money', `all accounts together have ${total}; they had ${before}`)
  }

  #fail(check: string, what: string): void {
    this.#checker.fail(check, what)
  }
}

function keyOf({ database, account, amount }: IntendedEffect): string {
  return `${database}/${account}:${amount}`
}

function describe(effects: readonly IntendedEffect[]): string {
  return effects.length === 0 ? 'nothing' : effects.map(keyOf).join(', ')
}
