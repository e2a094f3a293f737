import { type ClusterId, hit, type Txid, toError } from '../base/index.ts'
import type { CoordinatorPort } from '../coordinator/index.ts'
import type { SettleResult } from '../resources/index.ts'
import type { BranchRecord, Decision } from '../txn/index.ts'
import type { Background } from './background.ts'
import type { Deadlines } from './deadlines.ts'
import { DEFAULTS } from './defaults.ts'
import type { Enlistment } from './enlistment.ts'
import type { Logger } from './logger.ts'
import type { StoreEnlistment } from './store-enlistment.ts'

/** A transaction's branches and the cluster that decides on them. */
export interface Settlement {
  readonly clusterId: ClusterId
  readonly txid: Txid
  readonly enlistments: readonly Enlistment[]
  /** Branches in other processes: the coordinators tell them. */
  readonly services: readonly BranchRecord[]
  /** Those of them that are in key-value participants, which are rolled back from here. */
  readonly stores: readonly StoreEnlistment[]
  /** Services may have joined of which no answer told: they ask the coordinators. */
  readonly mayBeJoined: boolean
}

/** What a settler needs. */
export interface SettlerParts {
  readonly port: CoordinatorPort
  readonly background: Background
  readonly deadlines: Deadlines
  readonly logger: Logger
}

/** `left`: another attempt would not help; the coordinators' resolver judges by evidence. */
type Attempt = 'done' | 'again' | 'left'

/** A branch that could not be finished in so many attempts (about 40 s) is left to the resolver, which is closer to it. */
const ATTEMPTS_MAX = 12

/**
 * Brings branches to their end: phase two, and the rollback of what was prepared. Each branch is tried once within the
 * call; what remains goes on in the background, and what remains at `close()` is handed over to the resolver.
 */
export class Settler {
  readonly #port: CoordinatorPort
  readonly #background: Background
  readonly #deadlines: Deadlines
  readonly #logger: Logger

  constructor(parts: SettlerParts) {
    this.#port = parts.port
    this.#background = parts.background
    this.#deadlines = parts.deadlines
    this.#logger = parts.logger
  }

  /** Phase two of a decision that stands. Resolves when every branch was tried, or after a few seconds. Never rejects. */
  async finish(settlement: Settlement, decision: Decision): Promise<void> {
    const { txid, enlistments } = settlement
    const open = enlistments.filter((enlistment) => enlistment.phase !== 'ended')
    const done = open.map((enlistment) => {
      hit('client.branch.before-settle', txid)
      return this.#attempt(settlement, enlistment, decision)
    })
    let ready: Enlistment[] | undefined = []
    const all = Promise.all(
      done.map(async (attempt, index) => {
        const enlistment = open[index]!
        const result = await attempt
        if (result === 'done') hit('client.branch.settled', txid)
        if (result === 'again') this.#goOn(settlement, enlistment, decision)
        if (result !== 'done') return
        // Branches that are finished together share an ACK; one that comes after the wait goes alone.
        if (ready === undefined) this.#port.ack(txid, [enlistment.branchId])
        else ready.push(enlistment)
      }),
    )
    this.#background.track(all)
    await this.#deadlines.within(all, DEFAULTS.settleWaitMs, undefined)
    this.#acknowledge(txid, ready)
    ready = undefined
  }

  /**
   * Rolls everything back before anybody was asked to decide. A prepared branch that can't be rolled back now, or a vote
   * that nobody knows, is told to the coordinators: then the outcome is durable, and the resolver settles it even if this
   * process dies. So are services that were called: the coordinators tell them. Key-value participants are told from here,
   * and only about one that does not answer the coordinators hear. Resolves as `finish` does. Never rejects.
   */
  async rollBack(settlement: Settlement): Promise<void> {
    hit('client.rollback.before', settlement.txid)
    const open = settlement.enlistments.filter((enlistment) => enlistment.phase !== 'ended')
    // Whatever was asked to prepare may be prepared.
    const promised = open.filter((enlistment) => enlistment.phase !== 'open')
    const unknown = promised.filter((enlistment) => enlistment.phase !== 'prepared')
    const all = Promise.all(
      open.map((enlistment) =>
        enlistment.phase === 'open' ? this.#drop(enlistment) : this.#attempt(settlement, enlistment, 'abort'),
      ),
    )
    const dropped = new Set<BranchRecord>()
    const drops = settlement.stores.map(async (store) => {
      if (await store.drop()) dropped.add(store.record)
    })
    this.#background.track(all)
    await this.#deadlines.within(Promise.all([all, ...drops]), DEFAULTS.settleWaitMs, undefined)
    hit('client.rollback.after', settlement.txid)
    const services = settlement.services.filter((record) => !dropped.has(record))
    const untold = promised.filter((enlistment) => enlistment.phase !== 'ended' || unknown.includes(enlistment))
    if (untold.length > 0 || services.length > 0 || settlement.mayBeJoined)
      this.#tellAborted({ ...settlement, services }, untold)
    for (const enlistment of untold) {
      if (enlistment.phase !== 'ended') this.#goOn(settlement, enlistment, 'abort')
    }
  }

  /** Gives up the sessions of branches in doubt, so that the resolver can finish them even if this process can't (MariaDB). */
  handOver(enlistments: readonly Enlistment[]): void {
    for (const enlistment of enlistments) {
      if (enlistment.phase === 'ended') continue
      this.#background.track(enlistment.opening.then((branch) => branch.handOver()))
    }
  }

  #acknowledge(txid: Txid, enlistments: readonly Enlistment[]): void {
    if (enlistments.length === 0) return
    this.#port.ack(
      txid,
      // In a fixed order, so that the same story leaves the same trace.
      enlistments.map((enlistment) => enlistment.branchId).sort((a, b) => a - b),
    )
  }

  #tellAborted({ clusterId, txid, services }: Settlement, enlistments: readonly Enlistment[]): void {
    const records = enlistments.map(recordOf)
    const request = { clusterId, txid, participant: records[0]?.participant, branches: [...records, ...services] }
    this.#background.repeat({ txid, work: 'abort' }, async () => {
      const reply = await this.#port.abort(request, DEFAULTS.outcomeTimeoutMs)
      if (reply.kind === 'refused') {
        if (reply.retryable) return false
        this.#logger.warn({ txid, code: reply.code }, 'the coordinators refused to note an abort; presumed abort holds')
        return true
      }
      // Those that ended while nobody knew the transaction are acknowledged now; the others do it themselves.
      this.#acknowledge(
        txid,
        enlistments.filter((enlistment) => enlistment.phase === 'ended'),
      )
      return true
    })
  }

  /** A branch that was never asked to prepare: when its session is lost, its database rolls it back by itself. */
  async #drop(enlistment: Enlistment): Promise<void> {
    const branch = await enlistment.opening.catch(() => undefined)
    try {
      await branch?.abort()
    } catch (thrown) {
      this.#logger.debug(
        { resource: enlistment.resource.name, err: toError(thrown) },
        'rollback failed with its session',
      )
    }
    enlistment.phase = 'ended'
  }

  #goOn(settlement: Settlement, enlistment: Enlistment, decision: Decision): void {
    const { txid } = settlement
    const what = { txid, resource: enlistment.resource.name, decision }
    const attempt = async (): Promise<boolean> => {
      const result = await this.#attempt(settlement, enlistment, decision)
      if (result === 'done') this.#port.ack(txid, [enlistment.branchId])
      return result !== 'again'
    }
    this.#background.repeat(what, attempt, { attemptsMax: ATTEMPTS_MAX, left: () => this.handOver([enlistment]) })
  }

  async #attempt(settlement: Settlement, enlistment: Enlistment, decision: Decision): Promise<Attempt> {
    try {
      const branch = await enlistment.opening
      const result = await (decision === 'commit' ? branch.commit() : branch.abort())
      return await this.#judge(settlement, enlistment, decision, result)
    } catch (thrown) {
      const what = { txid: settlement.txid, resource: enlistment.resource.name, decision, err: toError(thrown) }
      this.#logger.warn(what, 'a branch could not be finished yet')
      return 'again'
    }
  }

  async #judge(
    settlement: Settlement,
    enlistment: Enlistment,
    decision: Decision,
    result: SettleResult,
  ): Promise<Attempt> {
    if (result.kind === 'busy') return 'again'
    if (result.kind === 'unknownGid' && !(await this.#proven(settlement, enlistment, decision))) return 'left'
    enlistment.phase = 'ended'
    return 'done'
  }

  /** The database does not know the branch: usually the resolver was faster. That is never taken for success without proof. */
  async #proven(settlement: Settlement, enlistment: Enlistment, decision: Decision): Promise<boolean> {
    const { clusterId, txid } = settlement
    const identity = { cluster: clusterId, txid, branch: enlistment.branchId }
    const found = await enlistment.resource.inDoubt.evidence(identity, enlistment.evidence)
    if (found === (decision === 'commit' ? 'committed' : 'aborted')) return true
    const what = { txid, resource: enlistment.resource.name, decision, found }
    this.#logger.warn(
      what,
      'the database does not know a prepared branch and has no proof of its outcome; the resolver judges',
    )
    return false
  }
}

/** A branch as the log keeps it. */
export function recordOf(enlistment: Enlistment): BranchRecord {
  return {
    branch: enlistment.branchId,
    kind: 'local',
    participant: enlistment.resource.name,
    vote: enlistment.phase === 'prepared' ? 'commit' : undefined,
    evidence: enlistment.evidence,
  }
}
