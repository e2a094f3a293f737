import { toError } from '../../base/index.ts'
import type { Decision, Vote } from '../../txn/index.ts'
import type { BranchEnd } from './branch-table.ts'
import {
  type BranchState,
  type Journal,
  type JournalEntry,
  JournalOverError,
  type Lease,
  type Verdict,
} from './journal.ts'
import type { BranchKey } from './keys.ts'
import type { WalJournal } from './wal-journal.ts'

/**
 * A journal in an instance's own directory. What the handlers do lies elsewhere, so it is written down in this order:
 * that there may be work before it begins, a vote and an end after their handlers. A crash between them repeats a handler.
 */
export class LocalJournal implements Journal<undefined> {
  readonly isShared = false
  readonly #log: WalJournal

  constructor(log: WalJournal) {
    this.#log = log
  }

  get found(): readonly JournalEntry[] {
    return this.#log.found
  }

  get spaceLow(): boolean {
    return this.#log.spaceLow
  }

  join(key: BranchKey): Promise<void> {
    return this.#note(key, 'joined')
  }

  async work<T>(_key: BranchKey, _lease: Lease, work: (sql: undefined) => Promise<T> | T): Promise<T> {
    return work(undefined)
  }

  refuse(key: BranchKey): Promise<void> {
    return this.#note(key, 'refused')
  }

  async vote(
    key: BranchKey,
    _limitMs: number,
    ask: (sql: undefined) => Promise<Vote>,
    isWanted: () => boolean,
  ): Promise<Verdict | undefined> {
    const vote = await ask(undefined)
    if (!isWanted()) return undefined
    await this.#note(key, STATE_OF[vote])
    return { vote, end: vote === 'readOnly' ? 'readOnly' : undefined }
  }

  async end(key: BranchKey, decision: Decision, carryOut: (sql: undefined) => Promise<void>): Promise<BranchEnd> {
    await carryOut(undefined)
    const end = decision === 'commit' ? 'committed' : 'aborted'
    await this.#note(key, end)
    return end
  }

  close(): Promise<void> {
    return this.#log.close()
  }

  async #note({ txid, branch }: BranchKey, state: BranchState): Promise<void> {
    try {
      await this.#log.note({ txid, branch, state })
    } catch (thrown) {
      throw new JournalOverError('the journal is closed, or can not be written any more', { cause: toError(thrown) })
    }
  }
}

const STATE_OF = { readOnly: 'readOnly', commit: 'prepared', abort: 'refused' } as const satisfies Record<
  Vote,
  BranchState
>
