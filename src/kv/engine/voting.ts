import { assert, type Clock, hit, type Txid } from '../../base/index.ts'
import type { Rule } from '../constraints/index.ts'
import type { DurableLog } from './durable-log.ts'
import { judge } from './judge.ts'
import type { OpenBranches } from './open-branches.ts'
import type { PreparedRow, RefusalReason } from './records.ts'
import { rowBytes } from './row-size.ts'
import { type AbortVote, abortVote, type KvVote, voteAfter } from './vote.ts'

/** Read-only votes that are remembered, so that a repeated PREPARE gets the same answer. */
const READ_ONLY_MAX = 10_000

export interface VotingOptions {
  readonly log: DurableLog
  readonly branches: OpenBranches
  readonly rules: readonly Rule[]
  readonly branchBytesMax: number
  readonly clock: Clock
}

/** What an open branch comes to. */
export type Judged =
  /** It may commit, and is open no more: this row must be written now. */
  { readonly kind: 'row'; readonly row: PreparedRow } | { readonly kind: 'readOnly' } | AbortVote

/** Phase one: who may commit, and who hears of it when. */
export class Voting {
  readonly #options: VotingOptions
  /** Votes that are on their way to the disk. */
  readonly #writing = new Map<Txid, Promise<void>>()
  readonly #readOnly = new Set<Txid>()

  constructor(options: VotingOptions) {
    this.#options = options
  }

  /** Whether its vote is not on disk yet. */
  isWriting(txid: Txid): boolean {
    return this.#writing.has(txid)
  }

  hasVotedReadOnly(txid: Txid): boolean {
    return this.#readOnly.has(txid)
  }

  /** It is aborted: a read-only vote is no answer any more. */
  forgetReadOnly(txid: Txid): void {
    this.#readOnly.delete(txid)
  }

  /** The answer that follows from what was before; undefined when there is still a choice. */
  known(txid: Txid): Promise<KvVote> | undefined {
    const { log, branches } = this.#options
    if (log.state.inDoubt.has(txid)) return this.#voted(txid)
    if (this.#readOnly.has(txid)) return Promise.resolve({ kind: 'readOnly' })
    if (branches.get(txid) !== undefined) return undefined
    const outcome = log.state.outcomeOf(txid)
    return outcome === undefined ? undefined : log.durable().then(() => voteAfter(txid, outcome))
  }

  /** Asks an open branch for its vote. Resolves when the vote is on disk. */
  vote(txid: Txid): Promise<KvVote> {
    const judged = this.judge(txid)
    if (judged.kind !== 'row') return Promise.resolve(judged)
    hit('kv.prepared.before-write', txid)
    const writing = this.#options.log.append({ kind: 'prepared', row: judged.row })
    writing.catch(() => undefined)
    this.#writing.set(txid, writing)
    return this.#voted(txid)
  }

  /** What an open branch comes to. In any case it is open no more. */
  judge(txid: Txid): Judged {
    const { log, branches, rules, branchBytesMax, clock } = this.#options
    const branch = branches.get(txid)
    if (branch === undefined) return this.#refuse(txid, 'unknown')
    const judgement = judge(branch, rules, log.data)
    if (judgement.kind === 'abort') return this.#refuse(txid, judgement.reason, judgement.why)
    if (judgement.kind === 'readOnly') return this.#endReadOnly(txid)
    const preparedAtMs = Math.max(0, Math.floor(clock.wallMs()))
    const { effects } = judgement
    const row = { txid, branch: branch.branch, preparedAtMs, locks: branches.locks.locksOf(txid), effects }
    if (rowBytes(row) > branchBytesMax) return this.#refuse(txid, 'tooLarge')
    if (log.spaceLow) {
      branches.drop(txid, 'was rolled back: the disk is full')
      return abortVote(txid, 'diskFull')
    }
    branches.hold(txid)
    return { kind: 'row', row }
  }

  /** The vote of a branch whose record was appended: nobody hears it before it is on disk. */
  async #voted(txid: Txid): Promise<KvVote> {
    const { state } = this.#options.log
    await this.#writing.get(txid)
    if (this.#writing.delete(txid)) hit('kv.prepared.durable', txid)
    if (state.inDoubt.has(txid)) return { kind: 'commit' }
    const outcome = state.outcomeOf(txid)
    assert(outcome !== undefined, 'what is no longer in doubt has an outcome')
    return voteAfter(txid, outcome)
  }

  #endReadOnly(txid: Txid): Judged {
    this.#options.branches.drop(txid, 'has voted readOnly')
    this.#readOnly.add(txid)
    const [oldest] = this.#readOnly
    if (this.#readOnly.size > READ_ONLY_MAX && oldest !== undefined) this.#readOnly.delete(oldest)
    return { kind: 'readOnly' }
  }

  /** Rolls back and remembers it. A vote to abort need not be on disk: who forgets the branch votes abort again. */
  #refuse(txid: Txid, reason: RefusalReason, why?: string): AbortVote {
    const { log, branches } = this.#options
    hit('kv.refused.before-write', txid)
    branches.drop(txid, 'was rolled back')
    log.append({ kind: 'refused', txid, reason }).catch(() => undefined)
    return abortVote(txid, reason, why)
  }
}
