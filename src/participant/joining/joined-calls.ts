import type { BranchId, CallTicket, Txid } from '../../base/index.ts'
import { type JoinedResource, JoinedTransaction, type JoinedWork } from '../../client/index.ts'
import type { Decision } from '../../txn/index.ts'
import type { AskedBranch } from '../service/inquirer.ts'
import { JOINING_DEFAULTS } from './options.ts'

/**
 * The calls that this process joined and that have not ended: by branch for PREPARE and decisions, as a list for whoever
 * asks the coordinators about them. It lives in memory only: what dies with the process was either not prepared, and its
 * database rolls it back, or prepared, and the coordinators' resolver finishes it.
 */
export class JoinedCalls {
  readonly #work: JoinedWork
  readonly #resources: ReadonlyMap<string, JoinedResource>
  readonly #calls = new Set<JoinedTransaction>()
  readonly #byBranch = new Map<string, JoinedTransaction>()
  readonly #asked = new Map<string, AskedBranch>()

  constructor(work: JoinedWork, resources: ReadonlyMap<string, JoinedResource>) {
    this.#work = work
    this.#resources = resources
  }

  get size(): number {
    return this.#calls.size
  }

  /** Forgets what has ended. */
  sweep(): void {
    const nowMs = this.#work.clock.monotonicMs()
    for (const joined of this.#calls) if (joined.isSpent(nowMs)) this.#forget(joined)
  }

  /** Begins a call's share; undefined when a call with one of these numbers is here already: the same call, made twice. */
  join(ticket: CallTicket): JoinedTransaction | undefined {
    const keys = ticket.numbers.map((number) => keyOf(ticket.txid, number))
    if (keys.some((key) => this.#byBranch.has(key))) return undefined
    const { slackMs } = JOINING_DEFAULTS
    const joined = new JoinedTransaction({
      ticket,
      work: this.#work,
      slackMs,
      resource: (name) => this.#resources.get(name),
    })
    this.#calls.add(joined)
    for (const key of keys) this.#byBranch.set(key, joined)
    return joined
  }

  find(txid: Txid, branch: BranchId): JoinedTransaction | undefined {
    return this.#byBranch.get(keyOf(txid, branch))
  }

  /** A decision, from whoever knows it. */
  decide(txid: Txid, branch: BranchId, decision: Decision): void {
    const joined = this.find(txid, branch)
    if (joined !== undefined) this.#work.background.track(joined.decide(branch, decision))
  }

  /** Branches that wait for a vote to be asked for, or for a decision. What has ended is forgotten before. */
  *all(): Iterable<AskedBranch> {
    this.sweep()
    const nowMs = this.#work.clock.monotonicMs()
    for (const joined of this.#calls) {
      for (const { branchId } of joined.branches) yield* this.#waiting(joined, branchId, nowMs)
    }
  }

  values(): Iterable<JoinedTransaction> {
    return this.#calls
  }

  *#waiting(joined: JoinedTransaction, branch: BranchId, nowMs: number): Iterable<AskedBranch> {
    const { txid } = joined
    const phase = joined.waitsFor(branch)
    if (phase === undefined) return
    const key = keyOf(txid, branch)
    const { joinedAskMs, askMs: votedAskMs } = JOINING_DEFAULTS
    let asked = this.#asked.get(`${phase} ${key}`)
    if (asked === undefined) {
      const askMs = nowMs + (phase === 'joined' ? joinedAskMs : votedAskMs)
      // Never due: a question about what was not prepared must not abort the transaction, which may still run.
      asked = { key: { txid, branch }, phase, askMs, dueMs: Number.POSITIVE_INFINITY, asks: 0 }
      this.#asked.set(`${phase} ${key}`, asked)
    }
    yield asked
  }

  #forget(joined: JoinedTransaction): void {
    this.#calls.delete(joined)
    for (const number of joined.ticket.numbers) {
      const key = keyOf(joined.txid, number)
      this.#byBranch.delete(key)
      this.#asked.delete(`joined ${key}`)
      this.#asked.delete(`voted ${key}`)
    }
  }
}

function keyOf(txid: Txid, branch: BranchId): string {
  return `${txid}/${branch}`
}
