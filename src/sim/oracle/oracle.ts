import type { TransactionView } from '../../txn/index.ts'
import { Answers } from './answers.ts'
import { Branches } from './branches.ts'
import type { Checker } from './checker.ts'
import { Effects } from './effects.ts'
import { Votes } from './votes.ts'

/** Knows every answer ever given to every client and every state of every database, and says when they do not fit. */
export class Oracle {
  readonly answers: Answers
  readonly branches: Branches
  readonly effects: Effects
  readonly votes: Votes
  readonly #checker: Checker

  constructor(checker: Checker) {
    this.#checker = checker
    this.answers = new Answers(checker)
    this.branches = new Branches(checker)
    this.effects = new Effects(checker)
    this.votes = new Votes(checker)
  }

  /** P3: what clients heard, against how the prepared branches of the same transactions ended. Call it at the end. */
  checkAnswersAgainstBranches(): void {
    for (const [txid, outcome] of this.answers.finals()) {
      const end = this.branches.endOf(txid)
      if (end !== undefined && end !== outcome && !this.branches.isExcused(txid)) {
        this.#checker.fail('P3', `a client heard "${outcome}" of ${txid}, and its branches are ${end}`)
      }
    }
  }

  /**
   * P1: whatever an administrator did against a decision to commit is reported, and the transaction marked.
   *
   * @param viewOf a transaction as operators see it
   */
  checkForced(viewOf: (txid: string) => TransactionView | undefined): void {
    for (const [txid, { where, how }] of this.branches.forced()) {
      const view = viewOf(txid)
      if (how === 'committed' || view?.outcome?.kind !== 'committed' || view.heuristics.length > 0) continue
      this.#checker.fail(
        'P1',
        `${where} of ${txid} was rolled back by hand after the decision to commit: nobody reports it`,
      )
    }
  }

  /** P1, for transactions that their clients contradicted: the branches that were committed are. Call it at the end. */
  checkContradicted(): void {
    for (const txid of this.branches.contradicted()) {
      for (const where of this.votes.committedSet(txid)) {
        if (this.branches.endOfBranch(txid, where) !== 'aborted') continue
        this.#checker.fail('P1', `${txid} is committed with ${where}, which is aborted`)
      }
    }
  }

  /** P7: nothing is prepared or locked any more. @param locked rows that somebody has locked */
  checkFree(locked: readonly string[]): void {
    const open = this.branches.open()
    if (open.length > 0) this.#checker.fail('P7', `still prepared: ${open.slice(0, 5).join(', ')}`)
    if (locked.length > 0) this.#checker.fail('P7', `still locked: ${locked.slice(0, 5).join(', ')}`)
  }
}
