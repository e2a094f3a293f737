import { type Clock, sleep } from '../../base/index.ts'
import type { FoundState, Oracle } from '../oracle/index.ts'

/** What a call to a service asks for: a change of an account, or (amount 0) its balance, locked until the transaction's end. */
export interface ServiceWork {
  readonly operation: string
  readonly account: number
  readonly amount: number
  /** A read that holds its lock. */
  readonly isLocked: boolean
}

/** What was set aside for one branch. */
interface SetAside {
  readonly txid: string
  readonly where: string
  readonly works: ServiceWork[]
  isPrepared: boolean
}

interface Lock {
  /** The branch that writes. */
  writer: string | undefined
  readonly readers: Set<string>
}

/** The branch, as handlers get it. */
export interface LedgerBranch {
  readonly gid: string
  readonly txid: string
  readonly branch: number
}

const LOOK_MS = 15

/**
 * The own database of a service, which all of its instances share: balances, and what was set aside under a gid, durable in
 * the moment in which it is done, as docs/services.md asks of a service. Its rows are locked until the branch's end.
 */
export class ServiceLedger {
  readonly #name: string
  readonly #oracle: Oracle
  readonly #fail: (check: string, what: string) => void
  readonly #balances: number[]
  readonly #effects: FoundState['effects'][number][] = []
  readonly #locks = new Map<number, Lock>()
  readonly #aside = new Map<string, SetAside>()
  readonly #committed = new Set<string>()

  constructor(
    name: string,
    accounts: number,
    openingBalance: number,
    oracle: Oracle,
    fail: (check: string, what: string) => void,
  ) {
    this.#name = name
    this.#oracle = oracle
    this.#fail = fail
    this.#balances = new Array(accounts).fill(openingBalance)
  }

  /**
   * Sets a call's effects aside, and returns the balance as the branch sees it.
   *
   * @throws Error when the account stays locked for `waitMs`, or would go below zero
   */
  async work(clock: Clock, branch: LedgerBranch, work: ServiceWork, waitMs: number): Promise<number> {
    const isWrite = work.amount !== 0
    const dueMs = clock.monotonicMs() + waitMs
    while ((isWrite || work.isLocked) && !this.#take(branch.gid, work.account, isWrite)) {
      if (clock.monotonicMs() >= dueMs) throw new Error(`account ${work.account} stays locked`)
      await sleep(clock, LOOK_MS)
    }
    const aside = this.#asideOf(branch)
    const balance = aside.works.reduce(
      (sum, { account, amount }) => (account === work.account ? sum + amount : sum),
      this.#balances[work.account]! + work.amount,
    )
    if (balance < 0) throw new Error(`account ${work.account} is short`)
    aside.works.push(work)
    return balance
  }

  /** @throws Error when nothing was set aside */
  prepare({ gid }: LedgerBranch): 'readOnly' | undefined {
    const aside = this.#aside.get(gid)
    if (aside === undefined) throw new Error('nothing was set aside')
    if (aside.works.every(({ amount }) => amount === 0)) {
      this.#drop(gid)
      return 'readOnly'
    }
    if (!aside.isPrepared) this.#oracle.branches.prepared(aside.txid, aside.where)
    aside.isPrepared = true
    return undefined
  }

  commit({ gid }: LedgerBranch): void {
    if (this.#committed.has(gid)) return
    const aside = this.#aside.get(gid)
    if (aside?.isPrepared !== true)
      return this.#fail('P1', `${this.#name} is told to commit ${gid}, and never voted so`)
    for (const { operation, account, amount } of aside.works) {
      if (amount === 0) continue
      this.#balances[account]! += amount
      this.#effects.push({ database: this.#name, operation, txid: aside.txid, account, amount })
    }
    this.#committed.add(gid)
    this.#drop(gid)
    this.#oracle.branches.ended(aside.txid, aside.where, 'committed')
  }

  /** Drops what was set aside; what was committed long ago stays. */
  abort({ gid }: LedgerBranch): void {
    const aside = this.#aside.get(gid)
    this.#drop(gid)
    if (aside?.isPrepared === true) this.#oracle.branches.ended(aside.txid, aside.where, 'aborted')
  }

  found(): FoundState {
    const database = this.#name
    return {
      effects: this.#effects,
      accounts: this.#balances.map((balance, account) => ({ database, account, balance })),
    }
  }

  /** Accounts that somebody has locked. */
  locked(): readonly string[] {
    return [...this.#locks].map(([account, { writer, readers }]) => {
      return `${this.#name}/${account} by ${writer ?? [...readers].join(' ')}`
    })
  }

  #asideOf({ gid, txid, branch }: LedgerBranch): SetAside {
    let aside = this.#aside.get(gid)
    if (aside === undefined) {
      aside = { txid, where: `${this.#name}#${branch}`, works: [], isPrepared: false }
      this.#aside.set(gid, aside)
    }
    return aside
  }

  #take(gid: string, account: number, isWrite: boolean): boolean {
    const lock = this.#locks.get(account) ?? { writer: undefined, readers: new Set() }
    if (lock.writer !== undefined && lock.writer !== gid) return false
    if (isWrite && [...lock.readers].some((reader) => reader !== gid)) return false
    if (isWrite) lock.writer = gid
    else lock.readers.add(gid)
    this.#locks.set(account, lock)
    return true
  }

  #drop(gid: string): void {
    this.#aside.delete(gid)
    for (const [account, lock] of this.#locks) {
      if (lock.writer === gid) lock.writer = undefined
      lock.readers.delete(gid)
      if (lock.writer === undefined && lock.readers.size === 0) this.#locks.delete(account)
    }
  }
}
