import type { Checker } from './checker.ts'

/** How a branch ended in its database. */
export type Ended = 'committed' | 'aborted'

/** `empty`: prepared, but it wrote nothing, so its loss means nothing. */
type Phase = 'prepared' | 'empty' | Ended

/**
 * Every branch that was ever prepared in a database, as the database itself reports it:
 *
 * - P1: no transaction has one branch committed and another one rolled back.
 * - P3: a prepared branch is committed only when somebody asked to commit its transaction.
 * - P4: a vote "commit" is given only of a branch that is prepared.
 *
 * What an administrator ends by hand is nobody's fault, but must be reported (P1): see `Oracle.checkForced`.
 */
export class Branches {
  readonly #checker: Checker
  readonly #asked = new Set<string>()
  readonly #open = new Map<string, { readonly txid: string; readonly where: string }>()
  readonly #forced = new Map<string, { readonly where: string; readonly how: Ended }>()
  readonly #contradicted = new Set<string>()
  readonly #byTxid = new Map<string, Map<string, Phase>>()

  constructor(checker: Checker) {
    this.#checker = checker
  }

  /** Somebody asks the coordinators to commit it. */
  askedToCommit(txid: string): void {
    this.#asked.add(txid)
  }

  /**
   * Its client asks to commit it with other branches than before, which is the client's own mistake: one of both requests
   * wins, and what the other one named alone may end either way. See `Oracle.checkContradicted`.
   */
  contradict(txid: string): void {
    this.#contradicted.add(txid)
  }

  /** Transactions that their clients contradicted. */
  contradicted(): Iterable<string> {
    return this.#contradicted
  }

  /** How one branch ended; undefined when it has not, or was never prepared. */
  endOfBranch(txid: string, where: string): Ended | undefined {
    const phase = this.#byTxid.get(txid)?.get(where)
    return phase === 'committed' || phase === 'aborted' ? phase : undefined
  }

  /** The database holds this branch prepared from now on. @param where database and branch */
  prepared(txid: string, where: string): void {
    const branches = this.#of(txid)
    const before = branches.get(where)
    if (before !== undefined) this.#checker.fail('P4', `${where} of ${txid} is prepared again; it was ${before}`)
    branches.set(where, 'prepared')
    this.#open.set(`${where} of ${txid}`, { txid, where })
  }

  /** A prepared branch that wrote nothing is gone. */
  emptied(txid: string, where: string): void {
    this.#of(txid).set(where, 'empty')
    this.#open.delete(`${where} of ${txid}`)
  }

  /** The database ended a prepared branch. */
  ended(txid: string, where: string, how: Ended): void {
    const branches = this.#of(txid)
    const before = branches.get(where)
    if (before !== 'prepared') {
      this.#checker.fail('P4', `${where} of ${txid} is ${how} and was ${before ?? 'never prepared'}`)
    }
    branches.set(where, how)
    this.#open.delete(`${where} of ${txid}`)
    if (this.#forced.has(txid)) return
    if (how === 'committed' && !this.#asked.has(txid)) {
      this.#checker.fail('P3', `${where} of ${txid} is committed, and nobody had asked to commit it`)
    }
    if (this.#contradicted.has(txid)) return
    for (const [other, phase] of branches) {
      if (phase === 'prepared' || phase === 'empty' || phase === how) continue
      this.#checker.fail('P1', `${where} of ${txid} is ${how} and ${other} is ${phase}`)
    }
  }

  /** The database lost a prepared branch in a crash. */
  lost(txid: string, where: string): void {
    this.#checker.fail('P4', `${where} of ${txid} was prepared and is lost`)
  }

  /** An administrator is about to end a prepared branch by hand: from now on nobody answers for its transaction's atomicity. */
  force(txid: string, where: string, how: Ended): void {
    this.#forced.set(txid, { where, how })
  }

  /** Nobody answers for how its branches ended: see `force` and `contradict`. */
  isExcused(txid: string): boolean {
    return this.#forced.has(txid) || this.#contradicted.has(txid)
  }

  isForced(txid: string): boolean {
    return this.#forced.has(txid)
  }

  /** What administrators did, one branch a transaction. */
  forced(): Iterable<readonly [txid: string, { readonly where: string; readonly how: Ended }]> {
    return this.#forced
  }

  /** A client votes "commit" for it. A branch that was settled meanwhile is fine: it was prepared, or it is aborted. */
  votedCommit(txid: string, where: string): void {
    if (this.#byTxid.get(txid)?.has(where) !== true) {
      this.#checker.fail('P4', `${where} of ${txid} votes "commit" and was never prepared`)
    }
  }

  /** Branches that are prepared now, in words. */
  open(): readonly string[] {
    return [...this.#open.values()].map(({ txid, where }) => `${where} of ${txid}`)
  }

  /** The same in parts. */
  openOnes(): Iterable<{ readonly txid: string; readonly where: string }> {
    return this.#open.values()
  }

  /** How the prepared branches of a transaction ended: undefined when none has. */
  endOf(txid: string): Ended | undefined {
    for (const phase of this.#byTxid.get(txid)?.values() ?? []) {
      if (phase === 'committed' || phase === 'aborted') return phase
    }
    return undefined
  }

  #of(txid: string): Map<string, Phase> {
    let branches = this.#byTxid.get(txid)
    if (branches === undefined) {
      branches = new Map()
      this.#byTxid.set(txid, branches)
    }
    return branches
  }
}
