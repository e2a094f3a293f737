import { assert, hit, isArmed, toError, unreachable } from '../base/index.ts'
import {
  ENTRY_OVERHEAD_BYTES,
  type Raft,
  type RaftEffect,
  type RaftEvent,
  type RaftMessage,
  type RaftStatus,
  type WriteEffect,
} from '../raft/index.ts'
import type { Applier } from './applier.ts'
import { hitMessage, hitWrites } from './raft-points.ts'
import type { RaftStorage } from './raft-storage.ts'
import type { ReadBarriers } from './read-barriers.ts'
import type { PeerRecord } from './records.ts'
import type { SnapshotEffect } from './snapshots.ts'

type LoadEffect = Extract<RaftEffect, { kind: 'load' }>

/** What the core says of changes of the members. */
export type ConfigurationEffect = Extract<
  RaftEffect,
  { kind: 'configurationChanged' | 'configurationProposed' | 'configurationRefused' }
>

/** What the driver drives. */
export interface RaftDriverOptions {
  readonly raft: Raft
  readonly storage: RaftStorage
  readonly applier: Applier
  readonly reads: ReadBarriers
  readonly uncommittedBytesMax: number
  /** Runs the task at the end of this turn of the event loop. */
  readonly later: (task: () => void) => void
  /** @returns false when the message could not be queued */
  readonly send: (message: RaftMessage) => boolean
  readonly onRoleChanged: (effect: Extract<RaftEffect, { kind: 'roleChanged' }>) => void
  readonly onConfiguration: (effect: ConfigurationEffect) => void
  readonly onSnapshot: (effect: SnapshotEffect) => void
  readonly onTransferFailed: (effect: Extract<RaftEffect, { kind: 'transferFailed' }>) => void
  /** What was learnt of peers and is to be written, given that this turn writes (or not). */
  readonly takePeerRecords: (writes: boolean) => readonly PeerRecord[]
  readonly onFatal: (error: Error) => void
  /** Sees the effects of each turn before they are carried out. */
  readonly onStepped?: ((effects: readonly RaftEffect[]) => void) | undefined
  /** Sees each message that leaves. */
  readonly onSent?: ((message: RaftMessage) => void) | undefined
}

/**
 * Steps the core and carries out what it asks for, once a turn of the event loop: everything that came in during the
 * turn (messages, completions, proposals, reads, ticks) is stepped together, then all writes leave as ONE append and
 * all messages to a peer as one write. So the load itself decides how much is batched, and nothing waits for a timer.
 *
 * 1. `step` is never entered from within an effect: effects only queue events.
 * 2. A message in `unlocks` leaves after its write is durable, and never otherwise.
 * 3. After a failure nothing leaves any more.
 */
export class RaftDriver {
  readonly #options: RaftDriverOptions
  readonly #raft: Raft
  #events: RaftEvent[] = []
  #proposals: Uint8Array[] = []
  #proposedBytes = 0
  #ticks = 0
  /** The newest durable write; a completion speaks for all earlier ones. */
  #durable: WriteEffect | undefined
  #scheduled = false
  #stopped = false

  constructor(options: RaftDriverOptions) {
    this.#options = options
    this.#raft = options.raft
  }

  status(): RaftStatus {
    return this.#raft.status()
  }

  /** This node lost a part of its log or its votes. */
  get isDoubtful(): boolean {
    return this.#raft.isDoubtful
  }

  /** Takes an event for the end of this turn. */
  enqueue(event: RaftEvent): void {
    this.#events.push(event)
    this.schedule()
  }

  /** Takes ticks. They come after the turn's messages: a heartbeat that is here already prevents an election. */
  tick(count: number): void {
    this.#ticks += count
    this.schedule()
  }

  /**
   * Takes a proposal, if the core will have room for it. Call only while this node leads.
   *
   * What is committed counts as well until this node has written and applied it: the others may be a majority without
   * our disk, and faster than our state machine, and then nothing else would bound our memory.
   */
  propose(payload: Uint8Array): boolean {
    if (this.#raft.isTransferring) return false
    const { storage, applier, uncommittedBytesMax } = this.#options
    const bytes = payload.length + ENTRY_OVERHEAD_BYTES
    // The core's own count is of the last turn. Within a turn it can only sink before our proposals come.
    const under = Math.max(this.#raft.uncommittedBytes, storage.pendingBytes) + this.#proposedBytes
    // The core's own rule, in advance: one proposal is always taken when nothing waits.
    if ((under > 0 && under + bytes > uncommittedBytesMax) || !applier.hasRoom) return false
    this.#proposedBytes += bytes
    this.#proposals.push(payload)
    this.schedule()
    return true
  }

  get #leads(): boolean {
    return this.#raft.status().role === 'leader'
  }

  /** Makes sure that a turn comes. */
  schedule(): void {
    if (this.#scheduled || this.#stopped) return
    this.#scheduled = true
    this.#options.later(() => this.#turn())
  }

  /** Steps no more, sends no more, and forgets what waits. */
  stop(): void {
    this.#stopped = true
    this.#events = []
    this.#proposals = []
  }

  #turn(): void {
    this.#scheduled = false
    if (this.#stopped) return
    try {
      this.#carryOut(this.#stepAll())
    } catch (error) {
      this.#options.onFatal(toError(error))
    }
  }

  #stepAll(): RaftEffect[] {
    const effects: RaftEffect[] = []
    const step = (event: RaftEvent): void => {
      for (const effect of this.#raft.step(event)) effects.push(effect)
    }
    const durable = this.#durable
    this.#durable = undefined
    if (durable !== undefined) step({ kind: 'written', writeId: durable.writeId, term: durable.term })
    const events = this.#events
    this.#events = []
    for (const event of events) {
      // What was accepted before goes along with the leadership instead of being lost with it.
      if (event.kind === 'transferLeadership') this.#stepProposals(step)
      step(this.#bounded(event))
    }
    this.#stepProposals(step)
    const readId = this.#options.reads.takeBatch()
    if (readId !== undefined) step({ kind: 'read', readId })
    for (; this.#ticks > 0; this.#ticks--) step({ kind: 'tick' })
    return effects
  }

  /**
   * What was accepted while a transfer was about to begin waits for its end: with the leadership it is lost, as `accepted`
   * allows, but if the transfer fails this node goes on, and then nobody would tell.
   */
  #stepProposals(step: (event: RaftEvent) => void): void {
    if (this.#proposals.length === 0 || this.#raft.isTransferring) return
    const proposals = this.#proposals
    this.#proposals = []
    this.#proposedBytes = 0
    step({ kind: 'propose', proposals })
  }

  #carryOut(effects: readonly RaftEffect[]): void {
    this.#options.onStepped?.(effects)
    // Messages first: a follower's way to durable is longer than ours by two hops, so it begins first. They promise
    // nothing about our own write, for one that has only begun proves nothing (rule 2).
    const writes: WriteEffect[] = []
    for (const effect of effects) {
      if (effect.kind === 'write') writes.push(effect)
      else if (effect.kind === 'send') this.#send(effect.message)
    }
    this.#write(writes)
    for (const effect of effects) {
      if (this.#stopped) return
      if (effect.kind !== 'write' && effect.kind !== 'send') this.#carryOutOne(effect)
    }
    if (this.#proposals.length > 0 && !this.#raft.isTransferring) this.schedule()
  }

  /**
   * A follower whose state machine lags far behind takes no more entries: without them, AppendEntries is a heartbeat, and
   * the leader goes back to what was acknowledged and offers one entry a heartbeat until it is taken (raft/progress.ts).
   * Nothing else would bound this node's memory, for what it acknowledges it has on disk, not applied. The same when its
   * disk is full to the last of its reserve: the others decide without it, its own votes still find room, and it goes on
   * when there is room again.
   */
  #bounded(event: RaftEvent): RaftEvent {
    if (event.kind !== 'receive' || event.message.kind !== 'appendEntries') return event
    const { applier, storage } = this.#options
    if (event.message.entries.length === 0 || (applier.hasRoom && !storage.reserveLow)) return event
    return { kind: 'receive', message: { ...event.message, entries: [] } }
  }

  #carryOutOne(effect: Exclude<RaftEffect, { kind: 'write' | 'send' }>): void {
    const { applier, reads } = this.#options
    switch (effect.kind) {
      case 'apply':
        applier.push(effect.entries)
        break
      case 'load':
        this.#load(effect)
        break
      case 'proposed':
        break
      case 'proposalRefused':
        // With the leadership the proposals are lost, as `accepted` allows. Room was made sure of beforehand.
        assert(effect.reason === 'notLeader', 'what propose() accepted fits in')
        break
      case 'readReady':
        applier.whenApplied(effect.index, () => reads.resolve(effect.readId))
        break
      case 'readRefused':
        reads.refuse(effect.readId, effect.leader)
        break
      case 'roleChanged':
        this.#options.onRoleChanged(effect)
        break
      case 'serving':
        applier.pushLeading(effect.term)
        break
      case 'configurationChanged':
      case 'configurationProposed':
      case 'configurationRefused':
        this.#options.onConfiguration(effect)
        if (effect.kind === 'configurationChanged') hit('raft.configuration.applied')
        break
      case 'sendSnapshot':
      case 'chunkAcknowledged':
      case 'storeChunk':
      case 'installSnapshot':
      case 'forgetDoubt':
        this.#options.onSnapshot(effect)
        break
      case 'transferFailed':
        this.#options.onTransferFailed(effect)
        break
      default:
        unreachable(effect)
    }
  }

  #write(writes: readonly WriteEffect[]): void {
    const peers = this.#options.takePeerRecords(writes.length > 0)
    if (writes.length === 0 && peers.length === 0) return
    if (isArmed()) hitWrites(writes, 'before-write', this.#leads)
    this.#options.storage.append(writes, peers, () => this.#written(writes))
  }

  #written(writes: readonly WriteEffect[]): void {
    const last = writes.at(-1)
    if (this.#stopped || last === undefined) return
    if (isArmed()) hitWrites(writes, 'durable', this.#leads)
    try {
      for (const write of writes) for (const message of write.unlocks) this.#send(message)
    } catch (error) {
      this.#options.onFatal(toError(error))
      return
    }
    this.#durable = last
    this.schedule()
  }

  /** Sends a message that promises nothing about this node's disk. */
  send(message: RaftMessage): void {
    if (!this.#stopped) this.#send(message)
  }

  #send(message: RaftMessage): void {
    if (isArmed()) hitMessage(message, 'before-send')
    this.#options.onSent?.(message)
    const isQueued = this.#options.send(message)
    if (isArmed()) hitMessage(message, 'sent')
    if (isQueued) return
    // Only a leader's stream of entries has a position that must go back; everything else is repeated by its sender.
    if (message.kind === 'appendEntries') this.enqueue({ kind: 'unreachable', peer: message.to })
  }

  /** Reads old entries back. While the state machine lags far behind, that waits: memory stays bounded. */
  #load(effect: LoadEffect): void {
    this.#options.applier.whenRoom(() => {
      this.#options.storage.load(effect.from, effect.to, effect.bytesMax).then(
        (entries) => {
          if (entries.length > 0) this.enqueue({ kind: 'loaded', loadId: effect.loadId, entries })
        },
        (error: unknown) => {
          if (!this.#stopped) this.#options.onFatal(toError(error))
        },
      )
    })
  }
}
