import { ByteWriter, type Clock, isArmed, type NodeId, type Timer } from '../base/index.ts'
import type { DecisionLog, ProposeResult } from '../replica/index.ts'
import { encodeCommands, type LedgerCommand } from '../txn/index.ts'
import type { CoordinatorOptions } from './options.ts'
import { hitRecord } from './record-points.ts'

/** Who waits for a record. */
export interface Proposer {
  /** The log took the record: from now on it may take effect, even after this leadership. */
  accepted(): void
  /** The log did not take it, and it never will: nothing was done. */
  dropped(reason: 'backPressure' | 'diskFull'): void
}

/** A record on its way to the log. */
export interface Proposal {
  readonly command: LedgerCommand
  /** Told what becomes of it. A record without one is kept until the log takes it. */
  readonly proposer: Proposer | undefined
  /** It ends something that exists already, or forbids it: it may use the disk's reserved room (DESIGN §7). */
  readonly reserve: boolean
}

/** Runs a task once the work at hand is done, or this turn. Node: `queueMicrotask`; the simulator has its own. */
export type Schedule = (task: () => void) => void

export interface ProposalQueueParts {
  readonly log: DecisionLog
  readonly clock: Clock
  readonly schedule: Schedule
  readonly options: CoordinatorOptions
  /** The log says that this node does not lead. */
  readonly notLeader: (leader: NodeId | undefined) => void
}

type Refused = Extract<ProposeResult, { kind: 'refused' }>

/**
 * Joins the records of one turn into few log entries, in the order in which they were added.
 * When the log pushes back they wait here, for a while.
 */
export class ProposalQueue {
  readonly #parts: ProposalQueueParts
  #proposals: Proposal[] = []
  #scheduled = false
  #flushing = false
  #stalledSinceMs: number | undefined
  #retry: Timer | undefined

  constructor(parts: ProposalQueueParts) {
    this.#parts = parts
  }

  /** Records that the log has not taken yet. */
  get length(): number {
    return this.#proposals.length
  }

  /** True while the log is being asked: what it was offered may take effect. */
  get flushing(): boolean {
    return this.#flushing
  }

  add(proposal: Proposal): void {
    this.#proposals.push(proposal)
    if (this.#scheduled || this.#stalledSinceMs !== undefined) return
    this.#scheduled = true
    this.#parts.schedule(this.#flushScheduled)
  }

  /** Forgets everything that the log has not taken; nobody is told. */
  clear(): void {
    this.#proposals = []
    this.#resume()
  }

  /** The log made room: tries again what it pushed back. */
  unstall(): void {
    if (this.#stalledSinceMs !== undefined) this.flush()
  }

  /** Hands everything to the log, or as much as it takes. */
  flush(): void {
    // A log that applies while it is asked leads here again.
    if (this.#flushing) return
    this.#flushing = true
    const refused = this.#offerAll()
    this.#flushing = false
    if (refused === undefined) this.#resume()
    else if (refused.reason === 'notLeader') this.#parts.notLeader(refused.leader)
    else this.#stall(refused.reason)
  }

  readonly #flushScheduled = (): void => {
    this.#scheduled = false
    if (this.#stalledSinceMs === undefined) this.flush()
  }

  #offerAll(): Refused | undefined {
    while (this.#proposals.length > 0) {
      const batch = this.#takeBatch()
      if (isArmed()) for (const { command } of batch) hitRecord(command, 'before-propose')
      const result = this.#parts.log.propose(encode(batch), { reserve: batch.every(({ reserve }) => reserve) })
      if (result.kind === 'refused') {
        this.#proposals = [...batch, ...this.#proposals]
        return result
      }
      // Progress: patience starts anew. What comes in faster than the log takes it meets `openMax` instead.
      this.#stalledSinceMs = undefined
      if (isArmed()) for (const { command } of batch) hitRecord(command, 'proposed')
      for (const { proposer } of batch) proposer?.accepted()
    }
    return undefined
  }

  #takeBatch(): Proposal[] {
    const all = this.#proposals
    const count = this.#batchLength()
    this.#proposals = count === all.length ? [] : all.slice(count)
    return count === all.length ? all : all.slice(0, count)
  }

  #batchLength(): number {
    const { batchCommandsMax, batchBytesMax } = this.#parts.options
    const limit = Math.min(this.#proposals.length, batchCommandsMax)
    let bytes = 0
    for (let i = 0; i < limit; i++) {
      bytes += estimateBytes(this.#proposals[i]!.command)
      if (bytes > batchBytesMax) return Math.max(i, 1)
    }
    return limit
  }

  #stall(reason: 'backPressure' | 'diskFull'): void {
    const { clock, options } = this.#parts
    const nowMs = clock.monotonicMs()
    this.#stalledSinceMs ??= nowMs
    const full = reason === 'diskFull'
    this.#retry ??= clock.after(full ? options.diskFullRetryMs : options.backPressureRetryMs, this.#retryNow)
    // A full disk does not empty itself within a caller's patience. What may use the reserve goes on without the rest.
    if (full && this.#drop(reason, ({ reserve }) => !reserve)) this.flush()
    if (!full && nowMs - this.#stalledSinceMs >= options.backPressureMaxMs) this.#drop(reason, () => true)
  }

  readonly #retryNow = (): void => {
    this.#retry = undefined
    this.unstall()
  }

  #resume(): void {
    this.#stalledSinceMs = undefined
    if (this.#retry !== undefined) this.#parts.clock.cancel(this.#retry)
    this.#retry = undefined
  }

  /** Gives up what a caller waits for and can repeat; decisions about transactions that participants know are kept. */
  #drop(reason: 'backPressure' | 'diskFull', which: (proposal: Proposal) => boolean): boolean {
    const dropped = this.#proposals.filter((proposal) => proposal.proposer !== undefined && which(proposal))
    const gone = new Set(dropped)
    this.#proposals = this.#proposals.filter((proposal) => !gone.has(proposal))
    for (const { proposer } of dropped) proposer?.dropped(reason)
    return dropped.length > 0
  }
}

function encode(proposals: readonly Proposal[]): Uint8Array {
  const writer = new ByteWriter(64 + proposals.length * 96)
  encodeCommands(
    proposals.map(({ command }) => command),
    writer,
  )
  return writer.finish()
}

/** About what `encodeCommands` writes for it; texts are counted as if every character took two bytes. */
function estimateBytes(command: LedgerCommand): number {
  let bytes = 40
  if (command.kind === 'completed') bytes += 16 * command.txids.length
  else if ('branches' in command && command.branches !== undefined) {
    for (const branch of command.branches) {
      bytes += 12 + 2 * (branch.participant.length + (branch.evidence?.length ?? 0))
    }
  }
  return bytes
}
