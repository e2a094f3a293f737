import { assert, type NodeId, Prng } from '../base/index.ts'
import { assertConfiguration, isVoterIn, membersOf } from './configuration.ts'
import { Durability } from './durability.ts'
import { ForwardedReads } from './forwarded-reads.ts'
import type { Leadership } from './leadership.ts'
import { Log } from './log.ts'
import { Outbox } from './outbox.ts'
import { higher, lower } from './positions.ts'
import type { PendingLoad } from './progress.ts'
import {
  type Configuration,
  type LogIndex,
  NO_INDEX,
  type RaftEffect,
  type RaftOptions,
  type ReadKey,
  type RecoveredState,
  type Role,
  type SnapshotPosition,
  type Term,
  type WriteId,
} from './types.ts'

/**
 * Everything that one node knows, in the paper's words (Figure 2). Only the files of this folder see it: each of them
 * changes the part that its name says. The invariants between the parts are in validate.ts.
 */
export class Core {
  readonly options: RaftOptions
  readonly nodeId: NodeId
  readonly log: Log
  readonly durability: Durability
  readonly outbox = new Outbox()
  readonly #random: Prng

  /** The one that is in force: of the last configuration entry that was applied (configuration-in-force.ts). */
  configuration: Configuration
  /** A quorum of it knows durably that it is in force (configuration-change.ts, rule 4). */
  isConfigurationConfirmed = true
  /** It was replaced in this step; what follows from it is still to be done. */
  isConfigurationFresh = false

  role: Role = 'follower'
  currentTerm: Term
  votedFor: NodeId | undefined
  /** Who leads currentTerm, as far as this node knows. */
  leader: NodeId | undefined = undefined
  commitIndex: LogIndex
  /** The last entry that was handed to `apply`. */
  lastApplied: LogIndex

  /** Since the leader was heard (on the leader: since the last check of the quorum), or since the last campaign. */
  electionElapsedTicks = 0
  heartbeatElapsedTicks = 0
  /** §5.2: drawn anew so that split votes are rare and not repeated. */
  randomizedTimeoutTicks = 0

  /** The write that holds the newest hard state; a promise must not be repeated before it is durable. */
  hardStateWriteId = 0 as WriteId
  /** Answers to this node's own (pre-)vote requests, its own included. */
  readonly votes = new Map<NodeId, boolean>()

  /** On a follower: the highest index known to be equal to this term's leader's log. */
  matchedIndex: LogIndex = NO_INDEX
  /** On a follower: the highest matchIndex that waits behind a write, or was sent, in this term. */
  promisedIndex: LogIndex = NO_INDEX

  /** A part of the log or the vote was lost: this node does not count (doubt.ts). */
  isDoubtful: boolean
  /** The doubt is over, but a crash could still bring it back: that it was there is being forgotten on disk. */
  isForgettingDoubt = false
  /** An index at or behind all that was committed when the doubt began, once a leader has told it. */
  doubtFloor: LogIndex | undefined = undefined
  /** How a leader is asked for it. */
  doubtReadKey: ReadKey | undefined = undefined
  doubtTicksLeft = 0

  /** Defined exactly while this node leads. */
  leading: Leadership | undefined = undefined

  /** Committed entries that are being read from disk for `apply`. */
  applyLoad: PendingLoad | undefined = undefined
  /** The complete snapshot that is being put in force: log and state stand still meanwhile. */
  installing: { readonly snapshot: SnapshotPosition; readonly snapshotId: number } | undefined = undefined
  readonly forwardedReads: ForwardedReads
  lastLoadId = 0

  constructor(options: RaftOptions, recovered: RecoveredState) {
    assert(options.electionTimeoutTicks > options.heartbeatTicks, 'several heartbeats fit into an election timeout')
    assert(options.heartbeatTicks >= 1, 'a heartbeat takes at least one tick')
    assert(recovered.lastApplied >= recovered.baseIndex, 'what lies below the log was applied')
    assert(recovered.lastApplied <= recovered.lastIndex, 'nothing behind the log was applied')
    this.options = options
    this.nodeId = options.nodeId
    assertConfiguration(options.configuration)
    this.configuration = options.configuration
    this.log = new Log(recovered)
    this.durability = new Durability(recovered.lastIndex)
    this.#random = new Prng(options.seed)
    const { currentTerm, votedFor, commitIndex } = recovered.hardState
    // A snapshot has a file of its own, which may be durable before the log knows the term of its last entry. Whatever
    // this node would have promised in that term still waited for the log, so there was no vote.
    const isTermLost = currentTerm < recovered.baseTerm
    this.currentTerm = isTermLost ? recovered.baseTerm : currentTerm
    this.votedFor = isTermLost ? undefined : votedFor
    assert(this.log.lastTerm <= this.currentTerm, 'the term on disk is at least that of the last entry')
    assert(recovered.doubtful || commitIndex <= recovered.lastIndex, 'what is known to be committed is in the log')
    this.commitIndex = higher(recovered.lastApplied, lower(commitIndex, recovered.lastIndex))
    this.isDoubtful = recovered.doubtful
    this.lastApplied = recovered.lastApplied
    this.matchedIndex = this.commitIndex
    this.forwardedReads = new ForwardedReads(options.firstReadKey)
    this.resetElectionTimer()
  }

  /** Everyone else who receives the log, voters first. */
  get peers(): readonly NodeId[] {
    return membersOf(this.configuration).filter((member) => member !== this.nodeId)
  }

  /** True when this node's vote counts; others never campaign. */
  get isVoter(): boolean {
    return isVoterIn(this.configuration, this.nodeId)
  }

  /** True when this node's term and vote are on disk. */
  get isHardStateDurable(): boolean {
    return this.durability.isCompleted(this.hardStateWriteId)
  }

  /** Starts a new timeout from [electionTimeoutTicks, 2 × electionTimeoutTicks) (§5.2). */
  resetElectionTimer(): void {
    const { electionTimeoutTicks } = this.options
    this.electionElapsedTicks = 0
    this.randomizedTimeoutTicks = electionTimeoutTicks + this.#random.below(electionTimeoutTicks)
  }

  /** The shortest timeout is over; the rest of it is drawn from [1, ticks]. A word of the leader starts it anew. */
  expectElectionWithin(ticks: number): void {
    const { electionTimeoutTicks } = this.options
    this.electionElapsedTicks = electionTimeoutTicks
    this.randomizedTimeoutTicks = electionTimeoutTicks + 1 + this.#random.below(ticks)
  }

  /** Enters a higher term, or votes in the present one. Takes effect outside only behind this step's write. */
  setHardState(term: Term, votedFor: NodeId | undefined): void {
    assert(term >= this.currentTerm, 'a term never falls')
    if (term > this.currentTerm) {
      // Leader Completeness (§5.4): whoever leads the new term holds all that is committed.
      this.matchedIndex = this.commitIndex
      this.promisedIndex = NO_INDEX
    } else {
      assert(this.votedFor === undefined, 'a vote is given once in a term')
    }
    this.currentTerm = term
    this.votedFor = votedFor
    this.hardStateWriteId = this.durability.nextWriteId
    this.outbox.writeHardState()
  }

  /** Hands over the effects of this step. */
  takeEffects(): RaftEffect[] {
    const { log, durability, options } = this
    const effects = this.outbox.take({
      hardState: { currentTerm: this.currentTerm, votedFor: this.votedFor, commitIndex: this.commitIndex },
      term: this.currentTerm,
      beginWrite: (lastIndex) => durability.begin(this.currentTerm, lastIndex),
    })
    const { durableIndex } = durability
    log.evict(lower(durableIndex, this.lastApplied), options.cacheBytesMax)
    return effects
  }
}
