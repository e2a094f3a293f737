import type { Txid } from '../base/index.ts'
import { applyCommand } from './apply.ts'
import { phaseTwoBranches } from './branches.ts'
import { digestOf } from './digest.ts'
import { isGuarded, knowledgeOf } from './knowledge.ts'
import { LedgerRestore } from './ledger-restore.ts'
import { LedgerSnapshot } from './ledger-snapshot.ts'
import { needsOperator } from './settlements.ts'
import { emptyState, type LedgerState } from './state.ts'
import type { Guard, Knowledge, LedgerCommand, LedgerEffect, Settlement, TransactionView } from './types.ts'
import { validateState } from './validate.ts'
import { type ListFilter, listViews, viewOf } from './views.ts'
import { suggestWatermark, type WatermarkPolicy } from './watermark.ts'

/**
 * The coordinator's state machine: committed log records in, effects out. Synchronous and deterministic; every replica
 * keeps one, and only the leader carries out the effects.
 *
 * @example
 * const ledger = new Ledger()
 * const effects: LedgerEffect[] = []
 * ledger.apply({ kind: 'aborted', txid, reason: 'presumed', participant: undefined, branches: [] }, effects)
 * effects.map(({ kind }) => kind) // ['decided', 'completed']
 */
export class Ledger {
  #state: LedgerState = emptyState()

  /**
   * Applies one committed record and appends what the leader must do to `effects`. Never throws for a record that
   * decodeCommands gave. The record is kept, not copied: nobody may change it afterwards.
   *
   * @throws InvariantError when the ledger itself is broken: stop the process
   */
  apply(command: LedgerCommand, effects: LedgerEffect[]): void {
    applyCommand(this.#state, command, effects)
  }

  /** What a new leader must do: ask for the votes of undecided transactions, tell the branches of decided ones. In log order. */
  pending(): LedgerEffect[] {
    const effects: LedgerEffect[] = []
    for (const { txid, timeoutMs, outcome, branches } of this.#state.open.values()) {
      if (outcome === undefined) {
        if (!isGuarded(this.#state, txid)) effects.push({ kind: 'askVotes', txid, timeoutMs, branches })
      } else effects.push({ kind: 'decided', txid, outcome, branches: phaseTwoBranches(branches) })
    }
    return effects
  }

  /** What is known of `txid`. To answer "aborted" for an `unknown` one, write the `aborted` record first (P5). */
  knowledge(txid: Txid): Knowledge {
    return knowledgeOf(this.#state, txid)
  }

  /** True when a lost part of the log may hold the decision of `txid`: then nobody decides it. */
  isGuarded(txid: Txid): boolean {
    return isGuarded(this.#state, txid)
  }

  /** The transaction with all that is left of it; undefined when unknown or forgotten. */
  transaction(txid: Txid): TransactionView | undefined {
    return viewOf(this.#state, txid)
  }

  /** Open transactions first, then those that wait for an operator, then finished ones. */
  list(filter: ListFilter): TransactionView[] {
    return listViews(this.#state, filter)
  }

  /** What operators did by hand, the oldest first: the latest thousand, and all that nobody has acknowledged yet. */
  get settlements(): readonly Settlement[] {
    return this.#state.settlements
  }

  /** Settlements that an operator should look at: not carried out, or not as decided. */
  get unacknowledged(): readonly Settlement[] {
    return this.#state.settlements.filter(needsOperator)
  }

  /** The watermark a leader should propose; undefined when it is not worth a record. Changes nothing. */
  suggestWatermark(policy: WatermarkPolicy): number | undefined {
    return suggestWatermark(this.#state, policy)
  }

  /**
   * The state as it is now, to be written down piece by piece while records go on being applied. Takes no time to speak
   * of: the tables of finished transactions are frozen, and new ones go to others; the open ones are listed.
   */
  freeze(): LedgerSnapshot {
    return new LedgerSnapshot(this.#state)
  }

  /** Begins to replace the state by one that `freeze` gave, of this ledger or of another replica's. */
  restore(): LedgerRestore {
    return new LedgerRestore((state) => {
      this.#state = state
    })
  }

  /** Sixteen hex digits, equal on all replicas at an equal applied index. */
  digest(): string {
    return digestOf(this.#state)
  }

  /** @throws InvariantError naming the numbered invariant (state.ts) that does not hold */
  validate(): void {
    validateState(this.#state)
  }

  /** Transactions that wait for votes or for acknowledgements. */
  get openCount(): number {
    return this.#state.open.size
  }

  /** Open transactions without a decision. */
  get preparingCount(): number {
    return this.#state.preparingCount
  }

  /** Open transactions with a decision that not every branch has acknowledged. */
  get decidedCount(): number {
    return this.#state.open.size - this.#state.preparingCount
  }

  /** Finished transactions that are remembered. */
  get finishedCount(): number {
    return this.#state.finished.count
  }

  /** Transactions with a branch that ended otherwise than decided, or nobody knows how. */
  get heuristicCount(): number {
    return this.#state.heuristicCount
  }

  /** Decisions to commit since the start of the log. */
  get committedCount(): number {
    return this.#state.committedCount
  }

  /** Decisions to abort since the start of the log, tombstones included. */
  get abortedCount(): number {
    return this.#state.abortedCount
  }

  /** Txids made before this (milliseconds since 1970) may have been forgotten. */
  get watermarkMs(): number {
    return this.#state.watermarkMs
  }

  /** Which txids are guarded, if any are. */
  get guard(): Guard | undefined {
    return this.#state.guard
  }

  /** Bytes that the finished transactions occupy. */
  get finishedBytes(): number {
    return this.#state.finished.bytes
  }
}
