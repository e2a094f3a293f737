import type { LedgerCommand } from '../txn/index.ts'

/** The records that operators write: they change no decision. */
export type OperatorRecord = Extract<LedgerCommand, { kind: 'settle' | 'settled' | 'acknowledged' }>

interface Waiter {
  readonly key: string
  readonly done: (recorded: boolean) => void
}

/** Who waits until an operator's record is in the log and applied. */
export class OperatorRecords {
  #waiters: readonly Waiter[] = []

  /** `done` hears true once `record` was applied, and false when nobody can say whether it will be. */
  await(record: OperatorRecord, done: (recorded: boolean) => void): void {
    this.#waiters = [...this.#waiters, { key: keyOf(record), done }]
  }

  /** A record was applied. */
  applied(command: LedgerCommand): void {
    // Nearly always nobody waits: this is on the way of every decision.
    if (this.#waiters.length === 0 || !isOperators(command)) return
    const key = keyOf(command)
    this.#tell(true, (waiter) => waiter.key === key)
  }

  /** The leadership is over: what was proposed may still be applied. */
  lost(): void {
    this.#tell(false, () => true)
  }

  #tell(recorded: boolean, which: (waiter: Waiter) => boolean): void {
    const told = this.#waiters.filter(which)
    this.#waiters = this.#waiters.filter((waiter) => !told.includes(waiter))
    for (const { done } of told) done(recorded)
  }
}

function isOperators(command: LedgerCommand): command is OperatorRecord {
  return command.kind === 'settle' || command.kind === 'settled' || command.kind === 'acknowledged'
}

/** Two orders for one branch in one millisecond are told apart by nobody: either is in the log then. */
function keyOf(record: OperatorRecord): string {
  const { kind, txid } = record
  return [kind, txid, 'branch' in record ? record.branch : '', 'atMs' in record ? record.atMs : ''].join('/')
}
