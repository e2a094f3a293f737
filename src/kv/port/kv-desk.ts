import {
  type BranchId,
  type Clock,
  type ClusterId,
  parseBranchId,
  parseBranchTicket,
  type Timer,
  type Txid,
} from '../../base/index.ts'
import type { KvBranch } from '../engine/branch.ts'
import type { KvParticipant } from '../engine/kv-participant.ts'
import type { KvRefusal } from '../wire/index.ts'
import { KvSession } from './kv-session.ts'
import type { KvPortLimits } from './options.ts'
import { busy } from './refusal.ts'

/** How often the branches are looked through for those whose time is over. */
const SCAN_MS = 500
/** Reasons that are remembered for `explain`. */
const REASONS_MAX = 10_000

/** A statement alone has the only branch of its transaction, and ends when it has waited for its locks. */
const ALONE = parseBranchId(0)
const ALONE_MS = 60_000

/** What a desk needs. */
export interface KvDeskParts {
  readonly kv: KvParticipant
  readonly name: string
  readonly clusterId: ClusterId
  readonly clock: Clock
  readonly limits: KvPortLimits
  /** What `status` says, as JSON. */
  readonly status: () => object
}

/** A branch that applications work in, as its participant sees it. */
export interface OpenWork {
  readonly txid: Txid
  readonly branchId: BranchId
  readonly branch: KvBranch
  readonly session: KvSession
  /** When it is rolled back if nobody has asked for its vote. Monotonic. */
  readonly dueMs: number
  /** Statements that have no answer yet. They are carried out one by one, in the order in which they came. */
  queued: number
  /** Settles with the last of them. */
  tail: Promise<unknown>
}

/**
 * The branches at work, and the applications that work in them.
 *
 * A branch belongs to the session that began it. It is rolled back when that ends, when its time is over, or when its
 * application says so; from its vote on it is the coordinators' alone (P4).
 */
export class KvDesk {
  readonly parts: KvDeskParts
  /** Bytes of requests without an answer, of all sessions. */
  callBytes = 0
  readonly #open = new Map<Txid, OpenWork>()
  /** Why branches voted abort, or were rolled back. */
  readonly #reasons = new Map<Txid, KvRefusal>()
  readonly #sessions = new Set<KvSession>()
  readonly #scan: Timer
  #isClosing = false

  constructor(parts: KvDeskParts) {
    this.parts = parts
    this.#scan = parts.clock.every(SCAN_MS, () => this.#expire())
  }

  /** Somebody has come. */
  enter(): KvSession {
    const session = new KvSession(this)
    this.#sessions.add(session)
    return session
  }

  /** It is gone: what it was at work on is rolled back. */
  leave(session: KvSession): void {
    this.#sessions.delete(session)
    for (const work of [...this.#open.values()]) {
      if (work.session === session) this.#rollBack(work, 'its connection to the application ended')
    }
  }

  /** @throws MalformedIdError, KvTransactionEndedError */
  begin(session: KvSession, text: string): KvRefusal | undefined {
    const { name, clusterId } = this.parts
    const { cluster, participant, txid, branch, timeoutMs } = parseBranchTicket(text)
    if (cluster !== clusterId || participant !== name) return wrongTicket(text, name, clusterId)
    return this.#admit(session, txid, branch, timeoutMs)
  }

  /** A transaction of one statement. @throws KvTransactionEndedError */
  beginAlone(session: KvSession, txid: Txid): KvRefusal | undefined {
    return this.#admit(session, txid, ALONE, ALONE_MS)
  }

  #admit(session: KvSession, txid: Txid, branchId: BranchId, timeoutMs: number): KvRefusal | undefined {
    const { kv, clock, limits } = this.parts
    if (this.#isClosing) return busy('it is closing')
    if (kv.spaceLow) return busy('its disk is nearly full')
    if (this.#open.size >= limits.branchesMax) return busy(`${limits.branchesMax} branches are at work`)
    if (this.#open.has(txid)) return begunTwice(txid)
    const branch = kv.begin(txid, branchId)
    const dueMs = clock.monotonicMs() + timeoutMs + limits.slackMs
    this.#open.set(txid, { txid, branchId, branch, session, dueMs, queued: 0, tail: Promise.resolve() })
    return undefined
  }

  /** The branch, while it is at work. */
  open(txid: Txid): OpenWork | undefined {
    return this.#open.get(txid)
  }

  /** Carries a statement out behind those that came before it. */
  async inOrder<T>(work: OpenWork, statement: () => Promise<T>): Promise<T> {
    work.queued += 1
    const done = work.tail.then(statement)
    work.tail = done.catch(() => undefined)
    try {
      return await done
    } finally {
      work.queued -= 1
    }
  }

  /** Before its vote: a statement that is still waiting is work that nobody awaited, and must not be left out. */
  refuseUnawaited(txid: Txid): void {
    const work = this.#open.get(txid)
    if (work !== undefined && work.queued > 0) this.#rollBack(work, 'a call in it was still under way at the commit')
  }

  get openCount(): number {
    return this.#open.size
  }

  /** It has voted or ended, so it is no longer an application's. */
  over(txid: Txid): void {
    this.#open.delete(txid)
  }

  /** Rolls back a branch that has not voted. @returns false when it has, or is not here */
  abort(txid: Txid, why: string): boolean {
    const work = this.#open.get(txid)
    return work !== undefined && this.#rollBack(work, why)
  }

  /** Why it can't commit, for whoever asks afterwards. */
  note(txid: Txid, reason: KvRefusal): void {
    if (this.#reasons.has(txid)) return
    this.#reasons.set(txid, reason)
    const [oldest] = this.#reasons.keys()
    if (this.#reasons.size > REASONS_MAX && oldest !== undefined) this.#reasons.delete(oldest)
  }

  reasonOf(txid: Txid): KvRefusal | undefined {
    return this.#reasons.get(txid)
  }

  /** Takes no new branches; those at work may go on. */
  drain(): void {
    this.#isClosing = true
  }

  /** Takes no branches any more, and rolls back those that have not voted. */
  close(): void {
    this.drain()
    this.parts.clock.cancel(this.#scan)
    for (const work of [...this.#open.values()]) this.#rollBack(work, 'the participant was stopped')
  }

  #expire(): void {
    const nowMs = this.parts.clock.monotonicMs()
    for (const work of [...this.#open.values()]) {
      if (work.dueMs > nowMs) continue
      this.#rollBack(work, "its transaction's time was over, and nobody had asked for its vote")
    }
  }

  #rollBack({ txid }: OpenWork, why: string): boolean {
    this.#open.delete(txid)
    // It may have voted just now: then it is not ours to end.
    if (!this.parts.kv.rollBack(txid, `was rolled back: ${why}`)) return false
    const message = `the branch of ${txid} was rolled back: ${why}. Nothing of it happened. Begin a new transaction`
    this.note(txid, { kind: 'refused', code: 'KV_BRANCH_LOST', message, retryable: true })
    return true
  }
}

function wrongTicket(text: string, name: string, clusterId: ClusterId): KvRefusal {
  const message = `the branch is for ${JSON.stringify(text)}, and this is ${name} of cluster ${clusterId}; nothing was done; correct name or address of kv()`
  return { kind: 'refused', code: 'BRANCH_WRONG_TICKET', message, retryable: false }
}

function begunTwice(txid: Txid): KvRefusal {
  const message = `${txid} has a branch at work here already; nothing was done. A transaction has one branch at a participant: enlist it once`
  return { kind: 'refused', code: 'KV_INVALID', message, retryable: false }
}
