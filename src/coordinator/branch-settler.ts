import { type Clock, type ClusterId, hit, type Txid, unreachable } from '../base/index.ts'
import type { BranchIdentity, Evidence, InDoubtPort, PreparedBranch, SettleResult } from '../resources/index.ts'
import type { BranchRecord, Decision, Knowledge } from '../txn/index.ts'
import type { Coordinator } from './coordinator.ts'
import type { Undelivered } from './decision-delivery.ts'
import type { Logger } from './logger.ts'
import type { ResolverOptions } from './resolver-options.ts'

/** What the resolver needs of a coordinator. */
export type ResolverCoordinator = Pick<
  Coordinator,
  | 'isLeading'
  | 'knowledge'
  | 'transaction'
  | 'inquire'
  | 'ack'
  | 'heuristic'
  | 'undelivered'
  | 'evidenceBoundMs'
  | 'observe'
>

export interface BranchSettlerParts {
  readonly coordinator: ResolverCoordinator
  readonly clusterId: ClusterId
  readonly resource: string
  readonly port: InDoubtPort
  readonly logger: Logger
  readonly clock: Clock
  readonly options: Pick<ResolverOptions, 'evidenceTries' | 'graceMs'>
  /** Rejects when a call to the database takes too long. */
  readonly bounded: <T>(call: Promise<T>) => Promise<T>
}

/**
 * Brings one branch to its end: the protocol's part of the resolver.
 *
 * Invariants:
 * 1. P5: a branch of an unknown transaction is rolled back only after `aborted` was written.
 * 2. A branch whose votes are still being gathered is left alone.
 * 3. "Unknown gid" is never success: a branch that is not listed any more is acknowledged only by evidence, or because it
 *    had to abort (a rolled back branch leaves nothing behind).
 * 4. P1: a commit covers the branches that its record names, and no other: one that it does not name gave no vote that
 *    anybody counted, and is rolled back.
 */
export class BranchSettler {
  readonly #parts: BranchSettlerParts
  /** Committed branches that are not listed and have no evidence: how often, and since when, they were looked for. */
  readonly #misses = new Map<string, { count: number; readonly sinceMs: number }>()

  constructor(parts: BranchSettlerParts) {
    this.#parts = parts
  }

  /** Forgets what it counted: another leadership begins. */
  reset(): void {
    this.#misses.clear()
  }

  /**
   * Ends a branch that its database lists as prepared. True when it has ended.
   *
   * @param mayPresume false: a branch of an unknown transaction is left alone for now
   * @throws whatever the database throws
   */
  async settlePrepared(branch: PreparedBranch, mayPresume: boolean): Promise<boolean> {
    this.#misses.delete(keyOf(branch.txid, branch))
    const known = decisionOf(await this.#ask(branch.txid, mayPresume))
    if (known === undefined) return false
    const decision = known === 'commit' && !this.#isCovered(branch) ? 'abort' : known
    hit('coordinator.resolver.before-settle', branch.txid)
    const result = await this.#end(branch, decision)
    const { logger, resource } = this.#parts
    logger.debug({ resource, gid: branch.gid, decision, result: result.kind }, 'a prepared branch was settled')
    // `busy`: its session lives, so try again later. `unknownGid`: somebody else ended it; the next scan asks how.
    if (result.kind !== 'done') return false
    hit('coordinator.resolver.settled', branch.txid)
    this.#parts.coordinator.ack(branch.txid, [branch.branch])
    return true
  }

  /**
   * Finds out how a branch ended that is decided, not acknowledged, and not prepared any more.
   *
   * @throws whatever the database throws
   */
  async settleEnded({ txid, decision }: Undelivered, record: BranchRecord): Promise<void> {
    const { port, clusterId, bounded, coordinator } = this.#parts
    const { branch } = record
    const evidence = await bounded(port.evidence({ cluster: clusterId, txid, branch }, record.evidence))
    const key = keyOf(txid, record)
    if (this.#isConclusive(evidence, decision, key)) {
      this.#misses.delete(key)
      if (agrees(evidence, decision)) coordinator.ack(txid, [branch])
      else coordinator.heuristic(txid, branch, evidence)
    }
  }

  #isConclusive(evidence: Evidence, decision: Decision, key: string): boolean {
    if (evidence !== 'none' || decision === 'abort') return true
    const { clock, options } = this.#parts
    const nowMs = clock.monotonicMs()
    const miss = this.#misses.get(key) ?? { count: 0, sinceMs: nowMs }
    miss.count++
    this.#misses.set(key, miss)
    // Scans on demand may follow each other closely; the database gets its time all the same.
    return miss.count >= options.evidenceTries && nowMs - miss.sinceMs >= options.graceMs
  }

  async #ask(txid: Txid, mayPresume: boolean): Promise<Knowledge | undefined> {
    const { coordinator, clusterId } = this.#parts
    const known = coordinator.knowledge(txid)
    if (known.kind !== 'unknown' || !mayPresume) return known
    return new Promise((resolve) =>
      coordinator.inquire({ clusterId, txid, settle: true }, (reply) =>
        resolve(reply.kind === 'outcome' ? reply.outcome : undefined),
      ),
    )
  }

  /**
   * Of a finished commit the branches are not kept: then it is taken for covered. All that were named have acknowledged, so
   * one that is prepared again came back with its database, which lost what it had acknowledged.
   */
  #isCovered({ txid, branch, gid }: PreparedBranch): boolean {
    const named = this.#parts.coordinator.transaction(txid)?.branches ?? []
    if (named.length === 0 || named.some((record) => record.branch === branch)) return true
    const { logger, resource } = this.#parts
    logger.error(
      { resource, gid },
      'a prepared branch is not among those that its transaction committed; it is rolled back',
    )
    return false
  }

  #end({ cluster, txid, branch }: BranchIdentity, decision: Decision): Promise<SettleResult> {
    const { port, bounded } = this.#parts
    const identity = { cluster, txid, branch }
    return bounded(decision === 'commit' ? port.commit(identity) : port.abort(identity))
  }
}

/** What a branch that is still prepared has to do; undefined: nothing yet. */
function decisionOf(known: Knowledge | undefined): Decision | undefined {
  switch (known?.kind) {
    case undefined:
      return undefined
    case 'committed':
      return 'commit'
    case 'aborted':
      return 'abort'
    // Forgotten is either aborted or acknowledged by every branch; this one is still prepared, so it was aborted.
    case 'forgotten':
      return 'abort'
    case 'preparing':
    case 'unknown':
      return undefined
    default:
      return unreachable(known)
  }
}

/** Presumed abort: a branch without a trace ended as an abort does. */
function agrees(evidence: Evidence, decision: Decision): boolean {
  return decision === 'commit' ? evidence === 'committed' : evidence !== 'committed'
}

function keyOf(txid: Txid, { branch }: { readonly branch: number }): string {
  return `${txid}/${branch}`
}
