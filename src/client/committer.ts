import { assert, type ClusterId, hit, type Txid, toError, unreachable } from '../base/index.ts'
import type { CoordinatorPort, Refusal, Reply } from '../coordinator/index.ts'
import type { KvError } from '../kv/index.ts'
import type { PrepareResult } from '../resources/index.ts'
import type { Outcome } from '../txn/index.ts'
import type { ActiveTransaction } from './active-transaction.ts'
import type { Deadlines } from './deadlines.ts'
import { DEFAULTS } from './defaults.ts'
import type { Enlistment } from './enlistment.ts'
import {
  CoordinatorUnavailableError,
  OutcomeUnknownError,
  RequestRefusedError,
  TransactionAbortedError,
  type TransactionAbortReason,
} from './errors.ts'
import type { InDoubtWatch } from './in-doubt-watch.ts'
import { codeOf, isRetryable } from './retryable.ts'
import { recordOf, type Settlement, type Settler } from './settler.ts'
import type { StoreEnlistment } from './store-enlistment.ts'

/** What a committer needs. */
export interface CommitterParts {
  readonly port: CoordinatorPort
  readonly settler: Settler
  readonly inDoubt: InDoubtWatch
  readonly deadlines: Deadlines
  /** However little time is left, a decision is waited for this long. */
  readonly decisionTimeoutMs: number
  /** Known once a branch is open. */
  readonly clusterId: () => ClusterId | undefined
}

/**
 * Ends a transaction whose callback has returned (DESIGN §4), the fast paths first: no branch, one branch, no writer.
 *
 * Until the commit request has been handed to the port nobody else can commit the transaction, so rolling back is always right.
 * Afterwards only an answer is: a request without one may be decided at any time (P5, P8).
 */
export class Committer {
  readonly #parts: CommitterParts

  constructor(parts: CommitterParts) {
    this.#parts = parts
  }

  /**
   * Resolves when the transaction is committed.
   *
   * @throws TransactionAbortedError, or why the transaction was doomed: everything was rolled back
   * @throws OutcomeUnknownError when nobody can say; the background goes on asking
   */
  async commit(tx: ActiveTransaction): Promise<void> {
    const { enlistments, services, stores } = tx
    if (enlistments.length + stores.length > 0) await tx.unlessEnded(allOpen([...enlistments, ...stores]))
    const doom = tx.doom ?? tx.calls?.unreported()
    if (doom !== undefined) throw doom
    await this.#refuseSpoilt(tx)
    const [only] = enlistments
    const [onlyStore] = stores
    if (onlyStore !== undefined && services.length === 1 && only === undefined)
      return this.#commitInStore(tx, onlyStore)
    if (services.length > 0) return this.#commitTwoPhase(tx)
    if (only === undefined) return tx.decide()
    if (enlistments.length === 1) return this.#commitOnePhase(tx, only)
    return this.#commitTwoPhase(tx)
  }

  /** A settlement of what the transaction has done so far, for whoever rolls it back. */
  settlement(tx: ActiveTransaction): Settlement | undefined {
    const clusterId = this.#parts.clusterId()
    if (clusterId === undefined) return undefined
    const { txid, enlistments, services, stores, calls } = tx
    return { clusterId, txid, enlistments, services, stores, mayBeJoined: calls?.mayBeJoined === true }
  }

  async #refuseSpoilt(tx: ActiveTransaction): Promise<void> {
    for (const enlistment of tx.enlistments) {
      const { isBusy, poisonedBy } = await enlistment.opening
      const { name } = enlistment.resource
      if (poisonedBy !== undefined) throw votedAbort(tx.txid, name, poisonedBy)
      // More statements may follow it when it has ended; committing now would commit half of that work.
      if (isBusy === true) throw notAwaited(tx.txid, name)
    }
    for (const { name, opening } of tx.stores) {
      const branch = await opening
      if (branch.poisonedBy !== undefined) throw votedAbort(tx.txid, name, branch.poisonedBy)
      if (branch.isBusy) throw notAwaited(tx.txid, name)
      branch.end('has ended')
    }
  }

  /** One-phase, as with a lone database: no coordinator needs to know of it. */
  async #commitInStore(tx: ActiveTransaction, store: StoreEnlistment): Promise<void> {
    const branch = await store.opening
    const waitMs = this.#decisionWaitMs(tx)
    tx.decide()
    const end = await store.commitOnePhase(branch, waitMs)
    if (end.kind === 'committed') return
    const { cause } = end
    if (end.kind === 'aborted') throw votedAbort(tx.txid, store.name, cause)
    this.#parts.inDoubt.rememberLone(tx.txid, store)
    const what = `"${store.name}", its only participant, did not answer to COMMIT (${cause.message})`
    throw new OutcomeUnknownError(tx.txid, what, { cause, participant: store.name })
  }

  async #commitOnePhase(tx: ActiveTransaction, enlistment: Enlistment): Promise<void> {
    const branch = await enlistment.opening
    const waitMs = this.#decisionWaitMs(tx)
    tx.decide()
    hit('client.one-phase.before', tx.txid)
    // From here on the database alone decides; there is nothing left to roll back.
    enlistment.phase = 'ended'
    const committed = branch.commitOnePhase().then(() => undefined)
    try {
      const late = await this.#parts.deadlines.within(committed, waitMs, new Error(`no answer within ${waitMs} ms`))
      if (late !== undefined) throw late
      hit('client.one-phase.answered', tx.txid)
    } catch (thrown) {
      const code = codeOf(thrown)
      if (code === 'BRANCH_ABORTED')
        throw votedAbort(tx.txid, enlistment.resource.name, toError(thrown).cause ?? thrown)
      if (code === 'BRANCH_ENDED') throw votedAbort(tx.txid, enlistment.resource.name, thrown)
      throw this.#onePhaseUnknown(tx.txid, enlistment, thrown)
    }
  }

  #onePhaseUnknown(txid: Txid, enlistment: Enlistment, cause: unknown): Error {
    const { name } = enlistment.resource
    this.#parts.inDoubt.rememberLone(txid, enlistment)
    const what = `"${name}", its only database, did not answer to COMMIT (${toError(cause).message})`
    return new OutcomeUnknownError(txid, what, { cause, participant: name })
  }

  async #commitTwoPhase(tx: ActiveTransaction): Promise<void> {
    hit('client.prepare.before', tx.txid)
    const votes = await tx.unlessEnded(Promise.all(tx.enlistments.map(prepare)))
    for (const [index, vote] of votes.entries()) {
      if (vote.kind === 'abort' || vote.kind === 'unknown') {
        throw votedAbort(tx.txid, tx.enlistments[index]!.resource.name, vote.cause)
      }
    }
    hit('client.prepare.voted', tx.txid)
    const waitMs = this.#decisionWaitMs(tx)
    tx.decide()
    const writers = tx.enlistments.filter((enlistment) => enlistment.phase === 'prepared')
    if (writers.length + tx.services.length > 0) await this.#askForDecision(tx, writers, waitMs)
  }

  async #askForDecision(tx: ActiveTransaction, writers: readonly Enlistment[], timeoutMs: number): Promise<void> {
    const settlement = this.settlement(tx)
    assert(settlement !== undefined, 'a branch is open, so the cluster is known')
    const { clusterId, txid, services } = settlement
    // A reader takes no part in phase two, so the log need not name it.
    const branches = [...writers.map(recordOf), ...services]
    // Whoever gathers votes must have given up before we do: then we hear why.
    const answerMs = services.length > 0 ? timeoutMs + DEFAULTS.answerSlackMs : timeoutMs
    const request = { clusterId, txid, timeoutMs, answerMs, branches }
    let reply: Reply
    try {
      reply = await this.#parts.port.commit(request)
    } catch (thrown) {
      throw this.#unknown(settlement, toError(thrown).message, thrown)
    }
    if (reply.kind === 'refused') throw await this.#refused(settlement, reply)
    hit('client.decision.heard', txid)
    await this.#follow(settlement, reply.outcome)
  }

  async #follow(settlement: Settlement, outcome: (Reply & { kind: 'outcome' })['outcome']): Promise<void> {
    switch (outcome.kind) {
      case 'committed':
        return this.#parts.settler.finish(settlement, 'commit')
      case 'aborted':
        await this.#parts.settler.finish(settlement, 'abort')
        throw decidedAbort(settlement.txid, outcome, await explained(settlement, outcome))
      case 'preparing':
      case 'unknown':
      case 'forgotten':
        throw this.#unknown(settlement, `the coordinators answered "${outcome.kind}" to the commit request`, undefined)
      default:
        return unreachable(outcome)
    }
  }

  async #refused(settlement: Settlement, refusal: Refusal): Promise<Error> {
    // OUTCOME_PENDING: it may still be decided. TXN_OTHER_BRANCHES: somebody used this txid, so the ledger holds an outcome
    // for it, and the resolver would apply that to our branches.
    if (refusal.code === 'OUTCOME_PENDING' || refusal.code === 'TXN_OTHER_BRANCHES') {
      return this.#unknown(settlement, refusal.message, new RequestRefusedError(refusal))
    }
    // Nothing was done with any attempt of this request, so nobody can commit the transaction any more.
    await this.#parts.settler.rollBack(settlement)
    return refusedAbort(settlement.txid, refusal)
  }

  #unknown(settlement: Settlement, what: string, cause: unknown): Error {
    this.#parts.inDoubt.watch(settlement)
    return new OutcomeUnknownError(settlement.txid, what, { cause })
  }

  #decisionWaitMs(tx: ActiveTransaction): number {
    return Math.ceil(Math.max(tx.remainingMs, this.#parts.decisionTimeoutMs))
  }
}

async function allOpen(enlistments: readonly { readonly opening: Promise<unknown> }[]): Promise<void> {
  // A failure has doomed the transaction already; wait for the others all the same, so that none opens after its end.
  await Promise.allSettled(enlistments.map((enlistment) => enlistment.opening))
}

/** Asks a branch for its vote, and notes how far it has come. */
export async function prepare(enlistment: Enlistment): Promise<PrepareResult> {
  enlistment.phase = 'preparing'
  const branch = await enlistment.opening
  const vote = await branch.prepare().catch((thrown): PrepareResult => ({ kind: 'unknown', cause: toError(thrown) }))
  enlistment.phase = vote.kind === 'commit' ? 'prepared' : vote.kind === 'unknown' ? 'unknown' : 'ended'
  if (vote.kind === 'commit') enlistment.evidence = vote.evidence
  return vote
}

function votedAbort(txid: Txid, participant: string, cause: unknown): TransactionAbortedError {
  const what = `"${participant}" can't commit (${toError(cause).message})`
  return new TransactionAbortedError(what, {
    txid,
    reason: 'votedAbort',
    participant,
    retryable: isRetryable(cause),
    cause,
  })
}

export function notAwaited(txid: Txid, participant: string): TransactionAbortedError {
  const what = `a statement was still running in "${participant}" when the callback ended; await every statement`
  return new TransactionAbortedError(what, { txid, reason: 'notAwaited', participant, retryable: false })
}

function refusedAbort(txid: Txid, refusal: Refusal): TransactionAbortedError {
  const { code, message, retryable } = refusal
  if (code === 'NOT_LEADER' || code === 'SHUTTING_DOWN') {
    const what = `no coordinator could be asked to decide (${message})`
    const cause = new CoordinatorUnavailableError(message)
    return new TransactionAbortedError(what, { txid, reason: 'unavailable', retryable: true, cause })
  }
  const what = `the coordinators refused it with ${code} (${message})`
  const cause = new RequestRefusedError(refusal)
  return new TransactionAbortedError(what, { txid, reason: 'refused', retryable, cause })
}

/** Of the coordinators' reasons only an abort by request or vote would come again. */
const REPEATED: ReadonlySet<TransactionAbortReason> = new Set<TransactionAbortReason>(['requested', 'votedAbort'])

function decidedAbort(
  txid: Txid,
  { reason, participant }: Outcome & { kind: 'aborted' },
  cause: KvError | undefined,
): TransactionAbortedError {
  const by = participant === undefined ? '' : ` because of "${participant}"`
  const why = cause === undefined ? '' : `: ${cause.message}`
  const what = `the coordinators decided so${by} (${reason})${why}`
  const retryable = cause?.retryable ?? !REPEATED.has(reason)
  return new TransactionAbortedError(what, { txid, reason, participant, retryable, cause })
}

/** A vote to abort says no reason; a key-value participant can be asked for it. */
async function explained(
  { txid, stores }: Settlement,
  { reason, participant }: Outcome & { kind: 'aborted' },
): Promise<KvError | undefined> {
  if (reason !== 'votedAbort') return undefined
  return stores.find(({ name }) => name === participant)?.explain(txid)
}
