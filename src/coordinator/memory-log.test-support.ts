import type { NodeId } from '../base/index.ts'
import { type LogIndex, NO_INDEX, simpleConfiguration, type Term } from '../raft/index.ts'
import type {
  DecisionLog,
  DecisionLogHandler,
  DecisionLogStatus,
  ProposeOptions,
  ProposeResult,
} from '../replica/index.ts'
import { decodeCommands, type LedgerCommand } from '../txn/index.ts'

export const NODE = 1 as NodeId
export const OTHER_NODE = 2 as NodeId

/** A state machine's state after so many records. */
export interface StateAt {
  readonly index: number
  /** Encodes it now: what was applied since must not show. */
  pieces(): readonly Uint8Array[]
}

/** A DecisionLog in memory that does what a test tells it: hold back, refuse, lose the leadership at any point, replay. */
export class MemoryLog implements DecisionLog {
  /** Committed payloads, in order; shared by the logs of one group. */
  readonly committed: Uint8Array[]
  /** Accepted, not committed. */
  waiting: Uint8Array[] = []
  /** While true, accepted proposals wait for `commit`. */
  held = false
  refuse: 'notLeader' | 'backPressure' | 'diskFull' | undefined
  /** Room for decisions is left on the full disk. */
  reserveLeft = true
  /** How often something was proposed. */
  offers = 0
  spaceLow = false
  closed = false
  #handler: DecisionLogHandler | undefined
  #applied = 0
  #term = 0
  #leading = false
  #scheduled = false
  #barriers: { resolve: () => void; reject: (error: Error) => void }[] = []

  constructor(committed: Uint8Array[] = []) {
    this.committed = committed
  }

  /** What the coordinator started this log with. */
  get handler(): DecisionLogHandler | undefined {
    return this.#handler
  }

  async start(handler: DecisionLogHandler): Promise<void> {
    this.#handler = handler
  }

  /** Applies what the group committed, then leads. */
  lead(term = this.#term + 1): void {
    this.#applyAll()
    this.#term = term
    this.#leading = true
    this.#handler?.leading(term)
  }

  /**
   * Loses the leadership. Of the proposals under way the first `survivors` were on a majority: they commit now, under
   * the next leader; the others are lost.
   */
  follow(survivors = 0): void {
    this.#leading = false
    const kept = this.waiting.slice(0, survivors)
    this.waiting = []
    for (const { reject } of this.#barriers.splice(0)) reject(new Error('not the leader any more'))
    this.#handler?.following(OTHER_NODE)
    this.committed.push(...kept)
    this.#applyAll()
  }

  /** What this node has applied, in pieces, as a snapshot file would keep it. */
  snapshot(): StateAt {
    const frozen = this.#handler!.freeze()
    const index = this.#applied
    return {
      index,
      pieces: () => {
        const pieces: Uint8Array[] = []
        for (let piece = frozen.next(); piece !== undefined; piece = frozen.next()) pieces.push(piece)
        frozen.close()
        return pieces
      },
    }
  }

  /** Begins at a snapshot instead of the first record, or skips what this node had not applied yet. */
  install({ index, pieces }: StateAt): void {
    const restore = this.#handler!.restore()
    for (const piece of pieces()) restore.add(piece)
    restore.finish()
    this.#applied = index
  }

  propose(payload: Uint8Array, { reserve = false }: ProposeOptions = {}): ProposeResult {
    if (!this.#leading) return { kind: 'refused', reason: 'notLeader', leader: OTHER_NODE }
    this.offers++
    const mayUseReserve = this.refuse === 'diskFull' && reserve && this.reserveLeft
    if (this.refuse !== undefined && !mayUseReserve) return { kind: 'refused', reason: this.refuse, leader: undefined }
    this.waiting.push(payload)
    if (!this.held) this.#schedule()
    return { kind: 'accepted' }
  }

  /** Commits and applies the first `count` proposals under way. */
  commit(count = this.waiting.length): void {
    this.committed.push(...this.waiting.splice(0, count))
    this.#applyAll()
    for (const { resolve } of this.#barriers.splice(0)) resolve()
  }

  async readBarrier(): Promise<void> {
    if (!this.#leading) throw new Error('not the leader')
    if (!this.held) return
    await new Promise<void>((resolve, reject) => this.#barriers.push({ resolve, reject }))
  }

  status(): DecisionLogStatus {
    const index = this.committed.length as LogIndex
    return {
      raft: {
        nodeId: NODE,
        role: this.#leading ? 'leader' : 'follower',
        currentTerm: this.#term as Term,
        votedFor: undefined,
        leader: this.#leading ? NODE : OTHER_NODE,
        commitIndex: index,
        lastApplied: index,
        lastIndex: index,
        durableIndex: index,
        serving: this.#leading,
        uncommittedBytes: 0,
        baseIndex: NO_INDEX,
        configuration: simpleConfiguration([NODE, OTHER_NODE]),
        changePending: false,
        doubtful: false,
        transferTarget: undefined,
        followers: [],
      },
      storeId: 'memory',
      bytesOnDisk: 0,
      spaceLow: this.spaceLow,
      peers: [],
    }
  }

  async close(): Promise<void> {
    this.closed = true
  }

  /** Every committed record, in order. */
  records(): LedgerCommand[] {
    return this.committed.flatMap((payload) => decodeCommands(payload))
  }

  /** Every record that waits to be committed. */
  waitingRecords(): LedgerCommand[] {
    return this.waiting.flatMap((payload) => decodeCommands(payload))
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      if (!this.held) this.commit()
    })
  }

  #applyAll(): void {
    while (this.#applied < this.committed.length) {
      const payload = this.committed[this.#applied++]!
      this.#handler?.apply(payload, this.#applied)
    }
  }
}
