import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type Clock, hit, makeTxid, parseTxid, systemClock, type Txid } from '../../base/index.ts'
import { nodeDisk } from '../../wal/index.ts'
import type { KvValue } from '../constraints/index.ts'
import type { KvBranch, ScanOptions, ScanResult } from './branch.ts'
import { Checkpoints } from './checkpoints.ts'
import { DurableLog } from './durable-log.ts'
import { KvClosedError, KvInvalidError, KvTransactionEndedError } from './errors.ts'
import { type InDoubtBranch, inDoubtBranch } from './in-doubt.ts'

import { prefixKey } from './keys.ts'
import { LmdbStore } from './lmdb-store.ts'
import type { LockWaitView } from './lock-desk.ts'
import { OpenBranches } from './open-branches.ts'
import { type KvOptions, limitsOf, rulesOf } from './options.ts'
import type { PreparedRow } from './records.ts'
import { type AbortVote, type KvSettled, type KvVote, refusedAfter } from './vote.ts'
import { Voting } from './voting.ts'

/**
 * A durable transactional store of keys and values: the built-in participant.
 *
 * Strict two-phase locking on keys and ranges makes its histories strictly serializable. A vote to commit is on disk, with
 * effects and locks, before anybody hears of it; after a restart those in doubt have their locks back before `open`
 * resolves. Transactions are named by txid; each has at most one branch here.
 *
 * @example
 * const kv = await KvParticipant.open({ directory, identity, onFailure: () => process.exit(1) })
 * const branch = kv.begin(txid)
 * await branch.put('seat/7', 'ann')
 * const vote = await kv.prepare(txid)
 * if (vote.kind === 'commit') await kv.commit(txid)   // when the coordinator has decided so
 */
export class KvParticipant {
  readonly #log: DurableLog
  readonly #branches: OpenBranches
  readonly #voting: Voting
  readonly #checkpoints: Checkpoints
  readonly #clock: Clock
  readonly #random: () => Uint8Array
  #failure: Error | undefined
  #closing: Promise<void> | undefined

  private constructor(log: DurableLog, options: KvOptions, onFailure: (error: Error) => void) {
    const { lockTimeoutMs, branchBytesMax, openBytesMax, checkpointBytes } = limitsOf(options)
    const { clock = systemClock, random = () => randomBytes(16) } = options
    const rules = rulesOf(options)
    this.#log = log
    log.data.onFailure = onFailure
    this.#clock = clock
    this.#random = random
    this.#branches = new OpenBranches({ data: log.data, rules, branchBytesMax, openBytesMax, lockTimeoutMs, clock })
    this.#voting = new Voting({ log, branches: this.#branches, rules, branchBytesMax, clock })
    this.#checkpoints = new Checkpoints(log, checkpointBytes, onFailure)
  }

  /**
   * Opens log and data, and takes the locks of all branches in doubt back.
   *
   * @throws KvInvalidError, KvStoreMismatchError, KvStoreFailedError, KvRulesChangedError, KvLogMalformedError, and what
   * `Wal.open` throws
   */
  static async open(options: KvOptions): Promise<KvParticipant> {
    const { directory, disk = nodeDisk, onFailure } = options
    const { segmentBytesMax } = limitsOf(options)
    const unique = rulesOf(options).filter(({ kind }) => kind === 'unique')
    const uniquePrefixes = [...new Set(unique.map(({ prefix }) => prefixKey(prefix)))]
    const store = options.store ?? (await LmdbStore.open(join(directory, 'data')))
    let kv: KvParticipant | undefined
    let opened: DurableLog | undefined
    let failed = false
    const fail = (error: Error): void => {
      if (failed) return
      failed = true
      if (kv !== undefined) kv.#fail(error)
      onFailure(error)
    }
    try {
      const ours = { disk, directory: `${directory}/log`, segmentBytesMax, store, uniquePrefixes, onFailure: fail }
      opened = await DurableLog.open({ ...options, ...ours })
      hit('kv.start.log-read')
      kv = new KvParticipant(opened, options, fail)
      kv.#branches.takeBack(opened.state.inDoubt.values())
      hit('kv.start.locked')
      return kv
    } catch (error) {
      await opened?.close()
      await store.close()
      throw error
    }
  }

  /**
   * The branch of a transaction, to work in; the same one as long as it is open.
   *
   * A restart ends open branches, and does not remember them. Whoever passes work on from elsewhere must begin a branch once
   * only, and abort it when the participant has been restarted since: else what comes later would be half of the work.
   *
   * @throws KvTransactionEndedError when it has voted or ended here; MalformedIdError, KvInvalidError
   */
  begin(txid: string, branchId = 0): KvBranch {
    this.#checkUsable()
    const id = parseTxid(txid)
    const open = this.#branches.get(id)
    if (open !== undefined) {
      if (open.branch === branchId) return open
      throw new KvInvalidError(`${id} has branch ${open.branch} here already; a transaction has one at a participant`)
    }
    if (this.#log.state.inDoubt.has(id)) throw new KvTransactionEndedError(id, 'has voted here')
    const outcome = this.#voting.hasVotedReadOnly(id) ? { kind: 'committed' as const } : this.#log.state.outcomeOf(id)
    if (outcome !== undefined) throw new KvTransactionEndedError(id, `is over here (${outcome.kind})`)
    return this.#branches.open(id, branchId)
  }

  /**
   * Phase one. The vote is durable; the same question gets the same answer, also after a restart.
   *
   * @throws WalFailedError when the log failed: then nobody knows the vote, and the branch may be in doubt after a restart
   */
  async prepare(txid: string): Promise<KvVote> {
    const id = parseTxid(txid)
    await this.#checkpoints.room()
    this.#checkUsable()
    const known = this.#voting.known(id)
    if (known !== undefined) return known
    return this.#voting.vote(id)
  }

  /**
   * Phases one and two at once, for a transaction whose only branch this is: no coordinator needs to know of it.
   *
   * @throws WalFailedError when the log failed: then the outcome is unknown until the next start, and maybe in doubt then
   * @throws KvTransactionEndedError when it has voted: only the coordinators end it
   */
  async commitOnePhase(txid: string): Promise<{ readonly kind: 'done' } | AbortVote> {
    const id = parseTxid(txid)
    await this.#checkpoints.room()
    this.#checkUsable()
    if (this.#log.state.inDoubt.has(id)) throw new KvTransactionEndedError(id, 'has voted here')
    const known = await this.#voting.known(id)
    if (known?.kind === 'commit') {
      await this.commit(id)
      return { kind: 'done' }
    }
    if (known !== undefined) return known.kind === 'abort' ? known : { kind: 'done' }
    const judged = this.#voting.judge(id)
    if (judged.kind !== 'row') return judged.kind === 'abort' ? judged : { kind: 'done' }
    hit('kv.one-phase.before-write', id)
    await this.#log.append({ kind: 'prepared', row: judged.row }, { kind: 'committed', txid: id })
    hit('kv.one-phase.durable', id)
    // Not before: nobody else has this decision on disk, so nobody may have seen what a crash would undo.
    this.#branches.release(id, 'is committed')
    return { kind: 'done' }
  }

  /** GLOBAL-COMMIT. Done when it is on disk; repeats are harmless. @throws WalFailedError: repeat it after the restart */
  async commit(txid: string): Promise<KvSettled> {
    this.#checkUsable()
    const id = parseTxid(txid)
    const { state } = this.#log
    if (state.inDoubt.has(id)) return this.#committed(id)
    const outcome = state.outcomeOf(id)
    if (outcome?.kind !== 'committed') return refusedAfter(outcome)
    await this.#log.durable()
    return { kind: 'done' }
  }

  /**
   * GLOBAL-ABORT, before or after the vote. Done when it is on disk that this transaction never commits here; so a PREPARE
   * or work that comes late is refused. Repeats are harmless.
   */
  async abort(txid: string): Promise<KvSettled> {
    this.#checkUsable()
    const id = parseTxid(txid)
    const { state } = this.#log
    this.#voting.forgetReadOnly(id)
    this.#branches.drop(id, 'is aborted')
    if (state.inDoubt.has(id)) {
      hit('kv.abort.before-write', id)
      const durable = this.#log.append({ kind: 'aborted', txid: id })
      this.#branches.release(id, 'is aborted')
      await durable
      hit('kv.abort.durable', id)
      return { kind: 'done' }
    }
    const outcome = state.outcomeOf(id)
    if (outcome?.kind === 'committed' || outcome?.kind === 'forgotten') return refusedAfter(outcome)
    if (outcome === undefined) await this.#log.append({ kind: 'refused', txid: id, reason: 'abortedBefore' })
    else await this.#log.durable()
    return { kind: 'done' }
  }

  /**
   * The participant's own abort of a branch that has not voted: its locks go at once, and a PREPARE that comes later is refused.
   * @returns false when there is no such branch: it has voted or ended, or was never here
   */
  rollBack(txid: string, what: string): boolean {
    const id = parseTxid(txid)
    if (this.#branches.get(id) === undefined) return false
    this.#branches.drop(id, what)
    // Nobody waits for the disk: after a crash the branch is unknown, and votes abort as well.
    this.#log.append({ kind: 'refused', txid: id, reason: 'abortedBefore' }).catch(() => undefined)
    return true
  }

  /**
   * What came of a transaction of one phase, for whoever lost the answer. If it has not committed, it never will from now on.
   * `unknown`: it is in doubt, or so old that nobody knows.
   */
  async settle(txid: string): Promise<'committed' | 'aborted' | 'unknown'> {
    this.#checkUsable()
    const id = parseTxid(txid)
    // A vote is a promise to the coordinators (P4): only they end it.
    if (this.#log.state.inDoubt.has(id)) return 'unknown'
    const settled = await this.abort(id)
    if (settled.kind === 'done') return 'aborted'
    if (settled.known !== 'committed') return 'unknown'
    // Until it is on disk nobody may hear of it.
    return (await this.commit(id)).kind === 'done' ? 'committed' : 'unknown'
  }

  /** Branches whose vote to commit is on disk, and whose outcome is not known here: the first `limit`, the oldest vote first. */
  inDoubt(limit = Number.POSITIVE_INFINITY): readonly InDoubtBranch[] {
    const rows = this.#inDoubtRows().slice(0, limit)
    return rows.map((row) => inDoubtBranch(row, this.#branches.locks.waitersFor(row.txid)))
  }

  /** How many are in doubt. */
  get inDoubtCount(): number {
    return this.#inDoubtRows().length
  }

  /** Who has waited here for a lock for so long (milliseconds) or longer, and for whom. */
  lockWaits(atLeastMs: number): readonly LockWaitView[] {
    return this.#branches.locks.waitsSince(this.#clock.monotonicMs() - atLeastMs)
  }

  /** What is known here of a branch that is not in doubt, as evidence for others. */
  evidence(txid: string): 'committed' | 'aborted' | 'none' {
    const outcome = this.#log.state.outcomeOf(parseTxid(txid))?.kind ?? 'forgotten'
    if (outcome === 'forgotten') return 'none'
    return outcome === 'committed' ? 'committed' : 'aborted'
  }

  /**
   * Outcomes of transactions made before `beforeMs` (by their txids) need no longer be kept. Work for such a txid is refused
   * from then on. Branches in doubt are never forgotten.
   */
  async forgetBefore(beforeMs: number): Promise<void> {
    this.#checkUsable()
    if (!Number.isInteger(beforeMs) || beforeMs < 0 || beforeMs > this.#clock.wallMs()) {
      throw new KvInvalidError(`beforeMs is ${beforeMs}; use milliseconds since 1970, not later than now`)
    }
    await this.#log.append({ kind: 'forgotten', beforeMs })
  }

  /**
   * A key's value, read on its own: the last committed one. It waits for whoever is about to write it.
   * @param room see KvBranch
   * @throws KvLockTimeoutError, KvDeadlockError: try again
   */
  get(key: string, room?: () => Promise<void>): Promise<KvValue | undefined> {
    return this.#alone((branch) => branch.get(key, room))
  }

  /** A range, read on its own: all of it as of one moment. @throws KvLockTimeoutError, KvDeadlockError: try again */
  scan(options: ScanOptions = {}, room?: () => Promise<void>): Promise<ScanResult> {
    return this.#alone((branch) => branch.scan(options, room))
  }

  /** Writes all that is committed into the data, so that the log gets short and the next start is quick. */
  async checkpoint(): Promise<void> {
    this.#checkUsable()
    await this.#checkpoints.now()
  }

  /** Only the room that is reserved for decisions is left on the disk: work would be refused at its PREPARE. */
  get spaceLow(): boolean {
    return this.#log.spaceLow
  }

  /** Transactions that hold or want a lock here. */
  get transactions(): number {
    return this.#branches.locks.owners
  }

  /** Bytes that the log takes on disk. */
  get logBytesOnDisk(): number {
    return this.#log.bytesOnDisk
  }

  /** Rolls back what is open, and closes log and data. Branches in doubt are so again after the next `open`. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#branches.dropAll('was rolled back: the participant closes')
    await this.#checkpoints.idle()
    await this.#log.close()
    await this.#log.data.store.close()
  }

  async #committed(txid: Txid): Promise<{ readonly kind: 'done' }> {
    hit('kv.commit.before-write', txid)
    const durable = this.#log.append({ kind: 'committed', txid })
    // The decision is on disk at the coordinators, so others may see the effects before they are on this disk: after a
    // crash they are in doubt again, behind their locks, and whoever has seen them follows behind in the log.
    this.#branches.release(txid, 'is committed')
    hit('kv.commit.written', txid)
    await durable
    hit('kv.commit.durable', txid)
    return { kind: 'done' }
  }

  /** A read that is a transaction of its own, so that it queues up and is found in deadlocks like all others. */
  async #alone<T>(read: (branch: KvBranch) => Promise<T>): Promise<T> {
    this.#checkUsable()
    const branch = this.#branches.open(makeTxid(this.#clock.wallMs(), this.#random()), 0)
    try {
      return await read(branch)
    } finally {
      this.#branches.drop(branch.txid, 'has ended')
    }
  }

  #inDoubtRows(): PreparedRow[] {
    return [...this.#log.state.inDoubt.values()].filter(({ txid }) => !this.#voting.isWriting(txid))
  }

  #checkUsable(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#closing !== undefined) throw new KvClosedError()
  }

  /** Log or data failed: nothing is acknowledged any more, and nobody waits for what does not come. */
  #fail(error: Error): void {
    this.#failure = error
    this.#branches.dropAll('was rolled back: the participant failed')
  }
}
