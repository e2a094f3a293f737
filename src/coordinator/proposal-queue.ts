import { ByteWriter, type Clock, type NodeId, type Timer } from '../base/index.ts'
import type { DecisionLog, ProposeResult } from '../replica/index.ts'
import { encodeCommands, type LedgerCommand } from '../txn/index.ts'
import type { CoordinatorOptions } from './options.ts'

/** Who waits for a record. */
export interface Proposer {
  /** The log took the record: from now on it may take effect, even after this leadership. */
  accepted(): void
  /** The log did not take it, and it never will: nothing was done. Records of proposers without this method are kept and tried again. */
  readonly dropped: ((reason: 'backPressure' | 'diskFull') => void) | undefined
}

/** Runs a task once this turn's other work is done. Node: `setImmediate`; the simulator has its own. */
export type Schedule = (task: () => void) => void

type Refused = Extract<ProposeResult, { kind: 'refused' }>

export interface ProposalQueueParts {
  readonly log: DecisionLog
  readonly clock: Clock
  readonly schedule: Schedule
  readonly options: CoordinatorOptions
  /** The log says that this node does not lead. */
  readonly notLeader: (leader: NodeId | undefined) => void
}

/**
 * Joins the records of one turn into few log entries, in the order in which they were added.
 * When the log pushes back they wait here, for a while.
 */
export class ProposalQueue {
  readonly #parts: ProposalQueueParts
  #commands: LedgerCommand[] = []
  #proposers: (Proposer | undefined)[] = []
  #scheduled = false
  #flushing = false
  #stalledSinceMs: number | undefined
  #retry: Timer | undefined

  constructor(parts: ProposalQueueParts) {
    this.#parts = parts
  }

  /** Records that the log has not taken yet. */
  get length(): number {
    return this.#commands.length
  }

  /** Adds a record. `proposer` is told what became of it; without one it is kept until the log takes it. */
  add(command: LedgerCommand, proposer: Proposer | undefined): void {
    this.#commands.push(command)
    this.#proposers.push(proposer)
    if (this.#scheduled || this.#stalledSinceMs !== undefined) return
    this.#scheduled = true
    this.#parts.schedule(this.#flushScheduled)
  }

  /** Forgets everything that the log has not taken; nobody is told. */
  clear(): void {
    this.#commands = []
    this.#proposers = []
    this.#resume()
  }

  /** The log made room: tries again what it pushed back. */
  unstall(): void {
    if (this.#stalledSinceMs !== undefined) this.flush()
  }

  /** True while the log is being asked: what it was offered may take effect. */
  get flushing(): boolean {
    return this.#flushing
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
    while (this.#commands.length > 0) {
      const count = this.#batchLength()
      const commands = takeFront(this.#commands, count)
      const proposers = takeFront(this.#proposers, count)
      this.#commands = commands.rest
      this.#proposers = proposers.rest
      const result = this.#parts.log.propose(encode(commands.front))
      if (result.kind === 'refused') {
        this.#commands = [...commands.front, ...this.#commands]
        this.#proposers = [...proposers.front, ...this.#proposers]
        return result
      }
      // Progress: patience starts anew. What comes in faster than the log takes it meets `openMax` instead.
      this.#stalledSinceMs = undefined
      for (const proposer of proposers.front) proposer?.accepted()
    }
    return undefined
  }

  #batchLength(): number {
    const { batchCommandsMax, batchBytesMax } = this.#parts.options
    const limit = Math.min(this.#commands.length, batchCommandsMax)
    let bytes = 0
    for (let i = 0; i < limit; i++) {
      bytes += estimateBytes(this.#commands[i]!)
      if (bytes > batchBytesMax) return Math.max(i, 1)
    }
    return limit
  }

  #stall(reason: 'backPressure' | 'diskFull'): void {
    const { clock, options } = this.#parts
    const nowMs = clock.monotonicMs()
    this.#stalledSinceMs ??= nowMs
    this.#retry ??= clock.after(options.backPressureRetryMs, this.#retryNow)
    // A full disk does not empty itself within a request's patience.
    if (reason === 'diskFull' || nowMs - this.#stalledSinceMs >= options.backPressureMaxMs) this.#drop(reason)
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

  /** Gives up what a caller can repeat. Decisions about transactions that participants know already are kept. */
  #drop(reason: 'backPressure' | 'diskFull'): void {
    const commands = this.#commands
    const proposers = this.#proposers
    this.#commands = []
    this.#proposers = []
    const dropped: Proposer[] = []
    for (const [i, proposer] of proposers.entries()) {
      if (proposer?.dropped !== undefined) dropped.push(proposer)
      else {
        this.#commands.push(commands[i]!)
        this.#proposers.push(proposer)
      }
    }
    for (const proposer of dropped) proposer.dropped?.(reason)
    if (this.#commands.length === 0) this.#resume()
  }
}

function encode(commands: readonly LedgerCommand[]): Uint8Array {
  const writer = new ByteWriter(64 + commands.length * 96)
  encodeCommands(commands, writer)
  return writer.finish()
}

function takeFront<T>(items: T[], count: number): { readonly front: T[]; readonly rest: T[] } {
  return count === items.length
    ? { front: items, rest: [] }
    : { front: items.slice(0, count), rest: items.slice(count) }
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
