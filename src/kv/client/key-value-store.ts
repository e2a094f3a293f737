import { randomFillSync } from 'node:crypto'
import {
  type BranchTicket,
  type Clock,
  formatBranchTicket,
  makeTxid,
  parseTxid,
  sleep,
  systemClock,
  type Txid,
  toError,
} from '../../base/index.ts'
import type { KvValue } from '../constraints/index.ts'
import type { ScanOptions, ScanResult } from '../engine/branch.ts'
import type { KvAnswer, KvOutcome, KvStatement } from '../wire/index.ts'
import { branchLost, KvError, outcomeUnknown, unavailable } from './errors.ts'
import { KeyValueBranch } from './key-value-branch.ts'
import { type KvChannel, LineLostError } from './line.ts'
import { checked, resultOf, scanStatement } from './statements.ts'

const SETTLE_MS = 5_000
/** The pause between two questions. */
const SETTLE_PAUSE_MS = 100

/** What came of a one-phase commit. @internal */
export type OnePhaseEnd =
  | { readonly kind: 'committed' }
  | { readonly kind: 'aborted'; readonly cause: KvError }
  | { readonly kind: 'unknown'; readonly cause: KvError }

/** What a store is made of. @internal */
export interface KeyValueStoreParts {
  readonly name: string
  /** For error messages. */
  readonly address: string
  readonly channel: KvChannel
  /** The time of a call outside of transactions. */
  readonly timeoutMs: number
  /** How long a lost answer is asked for again, at least. Default 5,000. */
  readonly settleMs?: number
  readonly clock?: Clock
  /** For txids. Default: the machine's secure generator. */
  readonly randomFill?: (bytes: Uint8Array) => void
}

/**
 * A key-value participant as an application uses it. Enlist it in a transaction, or call it directly: each such call is a
 * transaction of its own. Made by `kv()`, or by the participant itself when it runs in this process.
 */
export class KeyValueStore {
  readonly kind = 'kv'
  /** The participant's name, by which the coordinators know it. */
  readonly name: string
  readonly #parts: KeyValueStoreParts
  readonly #clock: Clock

  /** @internal */
  constructor(parts: KeyValueStoreParts) {
    this.#parts = parts
    this.name = parts.name
    this.#clock = parts.clock ?? systemClock
  }

  /** A key's last committed value. It waits for whoever is about to write it. @throws KvError */
  async get(key: string): Promise<KvValue | undefined> {
    return resultOf.value(await this.#read({ kind: 'get', key }))
  }

  /** A page of entries as of one moment; go on from `next`. @throws KvError */
  async scan(options: Omit<ScanOptions, 'bytes'> = {}): Promise<ScanResult> {
    return resultOf.page(await this.#read(scanStatement(options)))
  }

  /** @throws KvError; its code is KV_OUTCOME_UNKNOWN when nobody can say whether it was done */
  async put(key: string, value: KvValue): Promise<void> {
    await this.#write({ kind: 'put', key, value }, { kind: 'done' })
  }

  /** @throws KvError; its code is KV_OUTCOME_UNKNOWN when nobody can say whether it was done */
  async delete(key: string): Promise<void> {
    await this.#write({ kind: 'delete', key }, { kind: 'done' })
  }

  /**
   * Puts `value` (undefined: removes it) if the key holds `expected` (undefined: nothing). Resolves to whether it did.
   * @throws KvError; its code is KV_OUTCOME_UNKNOWN when nobody can say whether it was done
   */
  async compareAndSet(key: string, expected: KvValue | undefined, value: KvValue | undefined): Promise<boolean> {
    const statement = { kind: 'compareAndSet', key, expected, value } as const
    return resultOf.flag(await this.#write(statement, { kind: 'flag', flag: true }))
  }

  /** Closes the connection. Branches that have not voted are rolled back. */
  close(): Promise<void> {
    return this.#parts.channel.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Opens a branch. @throws KvError, or the reason of `signal`: nothing was begun, or nothing is left of it @internal */
  async begin(ticket: Omit<BranchTicket, 'participant'>, signal: AbortSignal): Promise<KeyValueBranch> {
    const begunMs = this.#clock.monotonicMs()
    const line = await this.#parts.channel.line(ticket.timeoutMs, signal)
    const timeoutMs = ticket.timeoutMs - (this.#clock.monotonicMs() - begunMs)
    const text = formatBranchTicket({ ...ticket, timeoutMs, participant: this.name })
    const answer = await line.call({ kind: 'begin', ticket: text }).catch((thrown) => {
      throw thrown instanceof LineLostError ? branchLost(this.name, ticket.txid, thrown) : thrown
    })
    if (answer.kind === 'refused') throw new KvError(this.name, answer, { txid: ticket.txid })
    return new KeyValueBranch(this.name, ticket.txid, line)
  }

  /** Commits a branch whose transaction has no other, and finds out what came of it when the answer is lost. @internal */
  async commitOnePhase(branch: KeyValueBranch, waitMs: number): Promise<OnePhaseEnd> {
    const { txid } = branch
    let cause: Error = this.#late(waitMs)
    try {
      const answer = await this.#within(branch.commit(), waitMs)
      if (answer?.kind === 'refused') return { kind: 'aborted', cause: new KvError(this.name, answer, { txid }) }
      if (answer !== undefined) return { kind: 'committed' }
    } catch (thrown) {
      // It was not sent, and is never sent again: its locks need not wait for its time.
      if (thrown instanceof KvError) {
        void branch.abort()
        return { kind: 'aborted', cause: thrown }
      }
      cause = toError(thrown)
    }
    const outcome = await this.settle(txid, this.#parts.settleMs ?? SETTLE_MS)
    if (outcome === 'committed') return { kind: 'committed' }
    return outcome === 'aborted'
      ? { kind: 'aborted', cause: branchLost(this.name, txid, cause) }
      : { kind: 'unknown', cause: outcomeUnknown(this.name, txid, cause) }
  }

  /**
   * What came of a transaction of one phase whose answer was lost: if it has not committed, it never will from now on.
   * `unknown`: the participant is not reached in time, or the transaction is in doubt there. @internal
   */
  async settle(txid: Txid, timeoutMs: number): Promise<KvOutcome> {
    const dueMs = this.#clock.monotonicMs() + timeoutMs
    for (let leftMs = timeoutMs; leftMs > 0; leftMs = dueMs - this.#clock.monotonicMs()) {
      const asked = this.#parts.channel.line(leftMs).then((line) => line.call({ kind: 'settle', txid }))
      const answer = await this.#within(asked, leftMs).catch((error: { readonly code?: string }) => error)
      // Closed by the application: nobody is asked any more.
      if (answer !== undefined && 'code' in answer && answer.code === 'KV_CLOSED') break
      if (answer !== undefined && 'kind' in answer && answer.kind === 'outcome' && answer.outcome !== 'unknown')
        return answer.outcome
      await sleep(this.#clock, SETTLE_PAUSE_MS)
    }
    return 'unknown'
  }

  /** Why a branch voted abort, when the participant remembers it. @internal */
  async explain(txid: Txid, timeoutMs: number): Promise<KvError | undefined> {
    const asked = this.#parts.channel.line(timeoutMs).then((line) => line.call({ kind: 'explain', txid }))
    const answer = await this.#within(asked, timeoutMs).catch(() => undefined)
    return answer?.kind === 'refused' ? new KvError(this.name, answer, { txid }) : undefined
  }

  async #read(statement: KvStatement): Promise<KvAnswer> {
    const { timeoutMs } = this.#parts
    const request = { kind: 'alone', txid: this.#newTxid(), statement: checked(statement) } as const
    const dueMs = this.#clock.monotonicMs() + timeoutMs
    for (let leftMs = timeoutMs; leftMs > 0; leftMs = dueMs - this.#clock.monotonicMs()) {
      const line = await this.#parts.channel.line(leftMs)
      try {
        const answer = await this.#within(line.call(request), dueMs - this.#clock.monotonicMs())
        if (answer === undefined) throw this.#late(timeoutMs)
        if (answer.kind === 'refused') throw new KvError(this.name, answer)
        return answer
      } catch (thrown) {
        // A read may be done again.
        if (!(thrown instanceof LineLostError)) throw thrown
      }
    }
    throw this.#late(timeoutMs)
  }

  async #write(statement: KvStatement, done: KvAnswer): Promise<KvAnswer> {
    const { timeoutMs, settleMs = SETTLE_MS, channel } = this.#parts
    const txid = this.#newTxid()
    const request = { kind: 'alone', txid, statement: checked(statement) } as const
    const dueMs = this.#clock.monotonicMs() + timeoutMs
    const line = await channel.line(timeoutMs)
    let cause: unknown
    try {
      const answer = await this.#within(line.call(request), dueMs - this.#clock.monotonicMs())
      if (answer?.kind === 'refused') throw new KvError(this.name, answer, { txid })
      if (answer !== undefined) return answer
      cause = this.#late(timeoutMs)
    } catch (thrown) {
      if (!(thrown instanceof LineLostError)) throw thrown
      cause = thrown
    }
    const outcome = await this.settle(txid, Math.max(settleMs, dueMs - this.#clock.monotonicMs()))
    if (outcome === 'committed') return done
    throw outcome === 'aborted' ? branchLost(this.name, txid, cause) : outcomeUnknown(this.name, txid, cause)
  }

  /** Undefined when it takes longer. */
  async #within<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
    // Whoever comes late is heard by nobody.
    work.catch(() => undefined)
    let stop = (): void => {}
    const late = new Promise<undefined>((resolve) => {
      const timer = this.#clock.after(Math.max(1, ms), () => resolve(undefined))
      stop = () => this.#clock.cancel(timer)
    })
    try {
      return await Promise.race([work, late])
    } finally {
      stop()
    }
  }

  #late(timeoutMs: number): KvError {
    const { name, address } = this.#parts
    return unavailable(name, address, `it did not answer within ${timeoutMs} ms`)
  }

  #newTxid(): Txid {
    const { randomFill = randomFillSync } = this.#parts
    const random = new Uint8Array(10)
    randomFill(random)
    return parseTxid(makeTxid(this.#clock.wallMs(), random))
  }
}
