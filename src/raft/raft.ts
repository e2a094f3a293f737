import { assert, unreachable } from '../base/index.ts'
import { applyCommitted, onLoadedForApply } from './commit.ts'
import { onCompact } from './compaction.ts'
import { onChangeConfiguration, settleConfiguration } from './configuration-change.ts'
import { Core } from './core.ts'
import { onDoubtForgotten, tickDoubt } from './doubt.ts'
import {
  meetHigherTerm,
  onHardStateDurable,
  onLeaderUnreachable,
  onRequestVote,
  onRequestVoteResponse,
  onTimeoutNow,
  tickCheckQuorum,
  tickElection,
} from './election.ts'
import { onAppendEntries, onFollowerDurable } from './following.ts'
import { onReadIndexResponse, tickForwardedReads } from './forwarded-reads.ts'
import { onPropose } from './proposing.ts'
import { onRead, onReadIndexRequest } from './read-index.ts'
import {
  onAppendEntriesResponse,
  onLeaderDurable,
  onLoadedForFollower,
  onUnreachable,
  tickHeartbeat,
} from './replication.ts'
import { onChunkStored, onInstallSnapshot, onSnapshotInstalled, onSnapshotRejected } from './snapshot-receiving.ts'
import { onInstallSnapshotResponse, onSnapshotFailed, tickSnapshots } from './snapshot-sending.ts'
import { statusOf } from './status.ts'
import { onTransferLeadership, tickTransfer } from './transfer.ts'
import type {
  RaftEffect,
  RaftEvent,
  RaftMessage,
  RaftOptions,
  RaftStatus,
  RecoveredState,
  Term,
  WriteId,
} from './types.ts'
import { validate } from './validate.ts'

/**
 * One node of a Raft group (Ongaro, Ousterhout: "In Search of an Understandable Consensus Algorithm", extended
 * version; "§" and "Figure" mean that paper, "thesis" Ongaro's dissertation).
 *
 * Event in, effects out: no clock, no randomness but the seeded one, no I/O. The same events give the same effects.
 * The shell carries the effects out in the order given and reports completions as events.
 *
 * @example
 * const raft = new Raft(options, emptyState())
 * for (const effect of raft.step({ kind: 'tick' })) shell.carryOut(effect)
 */
export class Raft {
  readonly #core: Core

  /** @throws InvariantError when `recovered` contradicts itself: a damaged disk must not take part */
  constructor(options: RaftOptions, recovered: RecoveredState) {
    this.#core = new Core(options, recovered)
    // What the disk knows to be committed is applied before anything else; the first step asks for it.
    applyCommitted(this.#core)
  }

  /**
   * Takes one event and returns what the shell must do now.
   * @throws InvariantError when something happened that Raft excludes; the process must stop
   */
  step(event: RaftEvent): RaftEffect[] {
    const core = this.#core
    switch (event.kind) {
      case 'tick':
        this.#tick()
        break
      case 'receive':
        this.#receive(event.message)
        break
      case 'propose':
        onPropose(core, event.proposals)
        break
      case 'read':
        onRead(core, event.readId)
        break
      case 'written':
        this.#written(event.writeId, event.term)
        break
      case 'loaded':
        onLoadedForApply(core, event.loadId, event.entries)
        onLoadedForFollower(core, event.loadId, event.entries)
        break
      case 'unreachable':
        onUnreachable(core, event.peer)
        onLeaderUnreachable(core, event.peer)
        break
      case 'changeConfiguration':
        onChangeConfiguration(core, event.target, event.context, event.force)
        break
      case 'transferLeadership':
        onTransferLeadership(core, event.to)
        break
      case 'compact':
        onCompact(core, event.through)
        break
      case 'snapshotFailed':
        onSnapshotFailed(core, event.to, event.term)
        break
      case 'chunkStored':
        onChunkStored(core, event)
        break
      case 'snapshotInstalled':
        onSnapshotInstalled(core, event.snapshot, event.configuration)
        break
      case 'snapshotRejected':
        onSnapshotRejected(core, event.snapshot)
        break
      case 'doubtForgotten':
        onDoubtForgotten(core)
        break
      default:
        unreachable(event)
    }
    settleConfiguration(core)
    return core.takeEffects()
  }

  /** A view for status pages and tests. */
  status(): RaftStatus {
    return statusOf(this.#core)
  }

  /** What `uncommittedBytesMax` limits. Cheap, unlike `status()`: the shell asks in every turn. */
  get uncommittedBytes(): number {
    return this.#core.leading?.uncommittedBytes ?? 0
  }

  /** True while the leadership is being handed over: proposals would be refused. */
  get isTransferring(): boolean {
    return this.#core.leading?.transfer !== undefined
  }

  /** True while this node counts for nothing, because it lost a part of its log or its votes. */
  get isDoubtful(): boolean {
    return this.#core.isDoubtful
  }

  /** @throws InvariantError when an invariant does not hold. Takes time in proportion to what is in memory: for tests. */
  validate(): void {
    validate(this.#core)
  }

  #tick(): void {
    const core = this.#core
    if (core.leading === undefined) {
      tickForwardedReads(core)
      tickDoubt(core)
      tickElection(core)
    } else {
      tickCheckQuorum(core)
      tickTransfer(core)
      tickSnapshots(core)
      tickHeartbeat(core)
    }
  }

  #receive(message: RaftMessage): void {
    const core = this.#core
    assert(message.to === core.nodeId, 'a message for another node came here')
    if (message.term > core.currentTerm && !meetHigherTerm(core, message)) return
    switch (message.kind) {
      case 'requestVote':
        onRequestVote(core, message)
        break
      case 'requestVoteResponse':
        onRequestVoteResponse(core, message)
        break
      case 'appendEntries':
        onAppendEntries(core, message)
        break
      case 'appendEntriesResponse':
        onAppendEntriesResponse(core, message)
        break
      case 'timeoutNow':
        onTimeoutNow(core, message)
        break
      case 'readIndex':
        onReadIndexRequest(core, message)
        break
      case 'readIndexResponse':
        onReadIndexResponse(core, message)
        break
      case 'installSnapshot':
        onInstallSnapshot(core, message)
        break
      case 'installSnapshotResponse':
        onInstallSnapshotResponse(core, message)
        break
      default:
        unreachable(message)
    }
  }

  #written(writeId: WriteId, term: Term): void {
    const core = this.#core
    if (!core.durability.complete(writeId, term)) return
    onHardStateDurable(core)
    onFollowerDurable(core)
    onLeaderDurable(core)
  }
}
