import { assert, type Clock, hit, type NodeId, toError } from '../base/index.ts'
import {
  type ConfigurationData,
  decodeConfiguration,
  type Entry,
  EntryKind,
  entryBytes,
  type LogIndex,
  type SnapshotPosition,
  type Term,
} from '../raft/index.ts'
import type { DecisionLogHandler, FrozenState } from './decision-log.ts'
import { ApplyFailedError } from './errors.ts'
import type { MemberList } from './member-list.ts'

/** How long entries are applied before the event loop gets its turn: a long replay must not starve heartbeats. */
const SLICE_MS = 5
/** The same bound in entries, for clocks that stand still while we work. */
const SLICE_ENTRIES = 4096
/** Beyond so many bytes of waiting entries, replay reads no more from disk, and a leader takes no proposals. */
const BACKLOG_BYTES_MAX = 8 * 1024 * 1024

type Item =
  | { readonly kind: 'entries'; readonly entries: readonly Entry[]; readonly bytes: number }
  | { readonly kind: 'leading'; readonly term: Term }

/** What the applier needs. */
export interface ApplierOptions {
  readonly clock: Clock
  /** Runs the task later in the event loop, after I/O had its turn. */
  readonly later: (task: () => void) => void
  /** The last entry that the state machine has applied when this begins. */
  readonly applied: SnapshotPosition
  /** The members as of that entry. */
  readonly members: MemberList
  /** Called after each slice. */
  readonly onProgress?: () => void
  readonly onFatal: (error: Error) => void
}

/** The state machine as of one entry. */
export interface FrozenAt {
  readonly position: SnapshotPosition
  readonly configuration: ConfigurationData
  readonly state: FrozenState
}

/**
 * Hands committed entries to the state machine: in order, one at a time, in slices of a few milliseconds.
 * `leading` keeps its place among them, so a leader has applied all before it may decide.
 */
export class Applier {
  readonly #options: ApplierOptions
  #handler: DecisionLogHandler | undefined
  #items: Item[] = []
  #told: 'nothing' | 'leading' | 'following' = 'nothing'
  #toldLeader: NodeId | undefined
  /** How much of the first item is done: in entries. */
  #offset = 0
  #backlogBytes = 0
  #appliedIndex: LogIndex
  #appliedTerm: Term
  #members: MemberList
  #appliedBytes = 0
  #scheduled = false
  #stopped = false
  /** Reads and loads that wait. Few: reads of one turn share one. */
  #waiting: { readonly isDue: () => boolean; readonly task: () => void }[] = []

  constructor(options: ApplierOptions) {
    this.#options = options
    this.#appliedIndex = options.applied.index
    this.#appliedTerm = options.applied.term
    this.#members = options.members
  }

  /** True from the call of `leading` to that of `following`: the state machine may decide. */
  get isLeading(): boolean {
    return this.#told === 'leading'
  }

  /** The last entry that the state machine has applied. */
  get appliedIndex(): LogIndex {
    return this.#appliedIndex
  }

  /** What the applied entries count, all together since this began. */
  get appliedBytes(): number {
    return this.#appliedBytes
  }

  /** False while so much waits to be applied that no more should be added. */
  get hasRoom(): boolean {
    return this.#backlogBytes <= BACKLOG_BYTES_MAX
  }

  start(handler: DecisionLogHandler): void {
    this.#handler = handler
    this.#schedule()
  }

  /** Applies these committed entries after everything before them. */
  push(entries: readonly Entry[]): void {
    let bytes = 0
    for (const entry of entries) bytes += entry.data.length
    this.#backlogBytes += bytes
    this.#items.push({ kind: 'entries', entries, bytes })
    this.#schedule()
  }

  /** Calls `handler.leading` once all entries handed over so far are applied. */
  pushLeading(term: Term): void {
    this.#items.push({ kind: 'leading', term })
    this.#schedule()
  }

  /** This node does not lead: tells the handler at once, before what waits, and drops a `leading` not told yet. */
  following(leader: NodeId | undefined): void {
    if (this.#items.some((item) => item.kind === 'leading')) {
      // The first item may be half done, and then it is no `leading`: those are taken whole.
      this.#items = this.#items.filter((item) => item.kind !== 'leading')
    }
    const news = this.#told !== 'following' || this.#toldLeader !== leader
    this.#told = 'following'
    this.#toldLeader = leader
    if (news && this.#handler !== undefined) this.#call((handler) => handler.following(leader))
  }

  /** True while the members as of the last entry that was applied are confirmed. */
  get isConfirmed(): boolean {
    return this.#members.confirmed
  }

  /** Freezes the state machine as of the last entry that it has applied. Never from within `apply`. */
  freeze(): FrozenAt {
    assert(this.#handler !== undefined, 'what is frozen was started')
    const state = this.#handler.freeze()
    const position = { index: this.#appliedIndex, term: this.#appliedTerm }
    return { position, configuration: this.#members.data, state }
  }

  /**
   * The state machine is replaced by `finish`, and is then that of a snapshot. Entries that wait and are part of it will
   * not be applied: so each takes effect once, by its own or by the snapshot.
   */
  replace(position: SnapshotPosition, members: MemberList, finish: () => void): void {
    assert(position.index >= this.#appliedIndex, 'what was applied is not taken back')
    finish()
    this.#items = this.#items.flatMap((item) =>
      item.kind === 'leading' ? [item] : behind(item.entries, position.index),
    )
    this.#offset = 0
    this.#backlogBytes = 0
    for (const item of this.#items) if (item.kind === 'entries') this.#backlogBytes += item.bytes
    this.#appliedIndex = position.index
    this.#appliedTerm = position.term
    this.#members = members
    this.#wake()
  }

  /** Runs `task` once `index` is applied: at once when it is. */
  whenApplied(index: LogIndex, task: () => void): void {
    this.#when(() => this.#appliedIndex >= index, task)
  }

  /** Runs `task` once the entries that wait are few enough to read more from disk. */
  whenRoom(task: () => void): void {
    this.#when(() => this.hasRoom, task)
  }

  /** Applies nothing more. */
  stop(): void {
    this.#stopped = true
    this.#items = []
    this.#waiting = []
  }

  #when(isDue: () => boolean, task: () => void): void {
    if (isDue()) task()
    else this.#waiting.push({ isDue, task })
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped || this.#handler === undefined || this.#items.length === 0) return
    this.#scheduled = true
    // A microtask: what this turn sends and writes leaves first, and the caller is never re-entered.
    queueMicrotask(() => this.#run())
  }

  #run(): void {
    this.#scheduled = false
    if (this.#stopped) return
    const deadline = this.#options.clock.monotonicMs() + SLICE_MS
    let left = SLICE_ENTRIES
    while (this.#items.length > 0) {
      if (left-- === 0 || this.#options.clock.monotonicMs() >= deadline) {
        this.#yield()
        break
      }
      if (!this.#next()) return
    }
    this.#wake()
    this.#options.onProgress?.()
  }

  #yield(): void {
    this.#scheduled = true
    this.#options.later(() => this.#run())
  }

  /** One entry or one call of `leading`. False: it failed, or the handler stopped everything. */
  #next(): boolean {
    const item = this.#items[0]!
    if (item.kind === 'leading') {
      this.#items.shift()
      this.#told = 'leading'
      return this.#call((handler) => handler.leading(item.term))
    }
    const entry = item.entries[this.#offset]
    if (entry !== undefined) {
      this.#offset++
      if (entry.kind === EntryKind.command && !this.#apply(entry)) return false
      this.#applied(entry)
    }
    if (this.#offset >= item.entries.length) {
      this.#items.shift()
      this.#offset = 0
      this.#backlogBytes -= item.bytes
    }
    return true
  }

  #apply(entry: Entry): boolean {
    hit('raft.apply.before')
    const isApplied = this.#call((handler) => handler.apply(entry.data, entry.index), entry.index)
    hit('raft.apply.after')
    return isApplied
  }

  #applied(entry: Entry): void {
    this.#appliedIndex = entry.index
    this.#appliedTerm = entry.term
    this.#appliedBytes += entryBytes(entry)
    if (entry.kind !== EntryKind.configuration) return
    this.#members = this.#members.next({ ...decodeConfiguration(entry.data), index: entry.index })
  }

  #call(call: (handler: DecisionLogHandler) => void, index?: LogIndex): boolean {
    try {
      call(this.#handler!)
      return !this.#stopped
    } catch (error) {
      this.stop()
      this.#options.onFatal(index === undefined ? toError(error) : new ApplyFailedError(index, { cause: error }))
      return false
    }
  }

  #wake(): void {
    if (this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const { isDue, task } of waiting) this.#when(isDue, task)
  }
}

/** The part of waiting entries that a snapshot does not cover, as an item of its own. */
function behind(entries: readonly Entry[], index: LogIndex): Item[] {
  const left = entries.filter((entry) => entry.index > index)
  if (left.length === 0) return []
  return [{ kind: 'entries', entries: left, bytes: left.reduce((bytes, entry) => bytes + entry.data.length, 0) }]
}
