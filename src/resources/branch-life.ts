import { type Gid, toError } from '../base/index.ts'
import type { Access, PooledSession } from './access.ts'
import { BranchAbortedError, BranchEndedError, BranchOutcomeUnknownError } from './errors.ts'
import { ABORT_WAIT_MS, type BranchGuard } from './guard.ts'
import type { Branch, PrepareResult, SettleResult } from './resource.ts'
import type { SlotGate } from './slot-gate.ts'
import { withLimit } from './waiting.ts'

/** How a prepared branch ends. */
export type Verb = 'COMMIT' | 'ROLLBACK'

/** How long a branch looks for itself through another session, after its own was lost. */
const LOOK_MS_MAX = 5_000

/** How long a session that can't be closed is kept: more than twice as long as a command to end its statement may take. */
const RETIRE_MS = 5_000

/**
 * The steps of a branch's life that databases take differently. They send statements and read answers; the session is
 * given back or closed by `BranchLife` alone.
 */
export interface BranchSteps<Session extends PooledSession> {
  /**
   * Whether a session is kept for the next attempt while the branch stays prepared: one that found the branch again, or
   * one that was answered `busy`.
   */
  readonly keepsWaitingSession: boolean
  /** Whether `handOver` closes the session, rather than giving it back to its pool. */
  readonly closesAtHandOver: boolean
  /** Whether the application sent nothing, so that the branch needs no PREPARE. */
  isUntouched(held: Session): boolean
  /**
   * Phase one. On `abort` the branch is rolled back afterwards; on `readOnly` it has been ended already.
   *
   * @throws what the driver threw: a refusal is an abort, anything else leaves open whether the branch is prepared
   */
  prepare(held: Session): Promise<PrepareResult>
  /** Why `prepare` was refused, in plain words. */
  explainPrepare(refusal: unknown): Error
  /**
   * @returns what the answer tells against the commit, when it does
   * @throws what the driver threw: a refusal is an abort, anything else leaves the outcome open
   */
  commitOnePhase(held: Session): Promise<Error | undefined>
  /** The branch's vote when the database lists it as prepared; undefined when it does not. */
  find(session: Session): Promise<PrepareResult | undefined>
  /** Phase two. @throws what the driver threw when the answer is not a `SettleResult` */
  settle(session: Session, verb: Verb): Promise<SettleResult>
  /** Rolls back an unprepared branch. @throws what the driver threw; the session is then closed, and the server does it */
  rollBack(held: Session): Promise<void>
}

/** What a branch is made of. */
export interface BranchParts<Client, Session extends PooledSession> {
  readonly gid: Gid
  /** The driver's own client, as the application uses it. */
  readonly client: Client
  readonly guard: BranchGuard
  readonly access: Access<Session>
  /** The session in which the branch has begun. */
  readonly held: Session
  readonly steps: BranchSteps<Session>
  /** Counts the branches of this process that are prepared. */
  readonly slots?: Pick<SlotGate, 'took' | 'gave'> | undefined
}

/**
 * The life of a branch, the same in every database: open, prepared, settled.
 *
 * 1. It is prepared at most once; until it is settled every caller gets the same vote.
 * 2. Once settled it never changes its mind: the same verb again is done, the other one throws BranchEndedError.
 * 3. Only one phase two is under way at a time.
 * 4. A lost session is closed and never goes back to its pool.
 */
export class BranchLife<Client, Session extends PooledSession> implements Branch<Client> {
  readonly gid: Gid
  readonly session: Client
  readonly #guard: BranchGuard
  readonly #access: Access<Session>
  readonly #steps: BranchSteps<Session>
  readonly #slots: BranchParts<Client, Session>['slots']
  /** Undefined once the session has gone back or is lost. */
  #held: Session | undefined
  #prepared: Promise<PrepareResult> | undefined
  #settled: Verb | undefined
  #hasSlot = false
  #closesAtEnd = false
  /** Phase two while it is under way. */
  #settling: { readonly verb: Verb; readonly result: Promise<SettleResult> } | undefined

  constructor({ gid, client, guard, access, held, steps, slots }: BranchParts<Client, Session>) {
    this.gid = gid
    this.session = client
    this.#guard = guard
    this.#access = access
    this.#steps = steps
    this.#slots = slots
    this.#held = held
  }

  get poisonedBy(): Error | undefined {
    return this.#guard.poisonedBy
  }

  get isBusy(): boolean {
    return this.#guard.isBusy
  }

  get sessionId(): string | undefined {
    return this.#held?.id
  }

  get underWay(): number | undefined {
    return this.#guard.underWay
  }

  closeAtEnd(): void {
    this.#closesAtEnd = true
  }

  prepare(): Promise<PrepareResult> {
    if (this.#settled !== undefined) return Promise.resolve({ kind: 'abort', cause: new BranchEndedError(this.gid) })
    this.#prepared ??= this.#slots === undefined ? this.#prepareOnce() : this.#prepareCounted()
    return this.#prepared
  }

  async commitOnePhase(): Promise<void> {
    const held = this.#held
    if (held === undefined || this.#prepared !== undefined || this.#settled !== undefined) {
      throw new BranchEndedError(this.gid)
    }
    this.#settled = 'COMMIT'
    await this.#guard.end()
    const spoilt = this.poisonedBy ?? held.lost
    if (spoilt !== undefined) {
      await this.#rollBack()
      throw new BranchAbortedError(this.gid, { cause: spoilt })
    }
    const failure = await this.#commitOnePhaseIn(held)
    this.#release()
    if (failure !== undefined) throw failure
  }

  commit(): Promise<SettleResult> {
    return this.#settle('COMMIT')
  }

  abort(): Promise<SettleResult> {
    return this.#settle('ROLLBACK')
  }

  async handOver(): Promise<void> {
    if (this.#prepared === undefined) await this.abort().catch(() => {})
    else await this.#prepared
    if (this.#steps.closesAtHandOver) this.#discard()
    else this.#release()
  }

  async #prepareCounted(): Promise<PrepareResult> {
    const vote = await this.#prepareOnce()
    this.#hasSlot = vote.kind === 'commit'
    if (this.#hasSlot) this.#slots?.took()
    return vote
  }

  async #prepareOnce(): Promise<PrepareResult> {
    await this.#guard.end()
    const held = this.#held
    const spoilt = this.poisonedBy ?? held?.lost
    if (held === undefined || spoilt !== undefined) return this.#aborted(spoilt ?? new BranchEndedError(this.gid))
    if (this.#steps.isUntouched(held)) {
      await this.#rollBack()
      return { kind: 'readOnly' }
    }
    try {
      return await this.#prepareIn(held)
    } catch (error) {
      return this.#access.errors.isRefusal(error)
        ? this.#aborted(this.#steps.explainPrepare(error))
        : this.#lookAfterLoss(toError(error))
    }
  }

  async #prepareIn(held: Session): Promise<PrepareResult> {
    const vote = await this.#steps.prepare(held)
    if (vote.kind === 'abort') return this.#aborted(vote.cause)
    if (vote.kind === 'readOnly') this.#release()
    return vote
  }

  async #commitOnePhaseIn(held: Session): Promise<Error | undefined> {
    try {
      return await this.#steps.commitOnePhase(held)
    } catch (cause) {
      const refused = this.#access.errors.isRefusal(cause)
      await this.#rollBack()
      throw refused ? new BranchAbortedError(this.gid, { cause }) : new BranchOutcomeUnknownError(this.gid, { cause })
    }
  }

  /** The answer to PREPARE is lost. Only finding the branch proves anything: a PREPARE may still be on its way. */
  async #lookAfterLoss(cause: Error): Promise<PrepareResult> {
    this.#discard()
    try {
      const session = await withLimit(
        this.#access.clock,
        () => this.#access.driver.acquire(),
        LOOK_MS_MAX,
        (late) => late.release(),
      )
      this.#held = session
      const found = await this.#steps.find(session)
      if (found === undefined || !this.#steps.keepsWaitingSession) this.#release()
      if (found !== undefined) return found
    } catch {
      this.#discard()
    }
    return { kind: 'unknown', cause }
  }

  async #settle(verb: Verb): Promise<SettleResult> {
    if (this.#settled !== undefined) return this.#repeat(verb)
    if (this.#prepared === undefined) {
      if (verb === 'COMMIT') throw new BranchEndedError(this.gid)
      this.#settled = verb
      if (await this.#guard.endWithin(ABORT_WAIT_MS)) await this.#rollBack()
      else this.#discard()
      return { kind: 'done' }
    }
    const vote = await this.#prepared
    if (vote.kind === 'readOnly') return { kind: 'done' }
    if (vote.kind === 'abort') {
      if (verb === 'COMMIT') throw new BranchEndedError(this.gid)
      return { kind: 'done' }
    }
    return this.#settleOnce(verb)
  }

  #repeat(verb: Verb): SettleResult {
    if (this.#settled !== verb) throw new BranchEndedError(this.gid)
    return { kind: 'done' }
  }

  /** One at a time: a repeat in the same session could still be on its way when that is back in its pool. */
  async #settleOnce(verb: Verb): Promise<SettleResult> {
    if (this.#settling !== undefined) {
      const { verb: other, result } = this.#settling
      if (other === verb) return result
      throw new BranchEndedError(this.gid)
    }
    const result = this.#settlePrepared(verb)
    this.#settling = { verb, result }
    try {
      return await result
    } finally {
      this.#settling = undefined
    }
  }

  async #settlePrepared(verb: Verb): Promise<SettleResult> {
    const { resource, driver, errors } = this.#access
    try {
      if (this.#held?.lost !== undefined) this.#discard()
      this.#held ??= await driver.acquire()
      const result = await this.#steps.settle(this.#held, verb)
      if (result.kind === 'done') {
        this.#settled = verb
        if (this.#hasSlot) this.#slots?.gave()
      }
      if (result.kind !== 'busy' || !this.#steps.keepsWaitingSession) this.#release()
      return result
    } catch (error) {
      if (!errors.isRefusal(error)) this.#discard()
      throw errors.explainAccess(resource, error)
    }
  }

  async #aborted(cause: Error): Promise<PrepareResult> {
    await this.#rollBack()
    return { kind: 'abort', cause }
  }

  /** A session that can't be rolled back is closed; the server then does it. */
  async #rollBack(): Promise<void> {
    const held = this.#held
    if (held === undefined) return
    try {
      await this.#steps.rollBack(held)
      this.#release()
    } catch {
      this.#discard()
    }
  }

  #release(): void {
    const held = this.#held
    this.#held = undefined
    if (held?.lost === undefined && this.#closesAtEnd) this.#retire(held)
    else if (held?.lost === undefined) held?.release()
    else held?.discard()
  }

  /** Somebody may still be about to end a statement in it. */
  #retire(held: Session | undefined): void {
    if (held?.closesBadly !== true) held?.discard()
    else this.#access.clock.after(RETIRE_MS, () => held.release())
  }

  #discard(): void {
    this.#held?.discard()
    this.#held = undefined
  }
}
