import { assert } from '../base/index.ts'
import { InFlight } from './in-flight.ts'
import { higher, offset } from './positions.ts'
import { type LoadId, type LogIndex, NO_INDEX, type RaftOptions } from './types.ts'

/** Entries that are being read from disk. Whoever asked keeps this; an answer that nobody keeps came too late. */
export interface PendingLoad {
  readonly loadId: LoadId
  readonly from: LogIndex
  readonly to: LogIndex
}

/**
 * What a leader knows of one follower (Figure 2, "volatile state on leaders"), and how it sends to it:
 *
 * - `probe`: where the logs agree is a guess. One message at a time, until the follower answers.
 * - `replicate`: the logs agree up to nextIndex - 1 unless something was lost. Messages are pipelined and nextIndex
 *   runs ahead of the acknowledgements (thesis §10.2.1).
 * - `snapshot`: it needs entries that are compacted (§7). It gets a snapshot, and of entries none until it has what the
 *   log begins after. Heartbeats ask just for that.
 *
 * A follower may take no entries for a while and not say so: without room for them its shell strips them, and it answers
 * a heartbeat. What the leader concludes is the follower's `intake`:
 *
 * - `open`: nothing speaks against sending ahead.
 * - `suspect`: it refused what was sent ahead, or an answer came that takes nothing of a probe. Either something was
 *   lost, or it takes nothing: it has to take entries of one message before more are sent ahead.
 * - `closed`: it took nothing once more. It is offered one entry a heartbeat until it takes it (etcd-io/raft pauses a
 *   probe likewise). Otherwise one full disk would occupy its leader as fast as messages travel.
 *
 * Invariants, checked by validate():
 * 1. matchIndex < nextIndex <= lastIndex + 1.
 * 2. Nothing is counted in flight except while replicating, and nothing is loaded but then, or to be offered.
 * 3. What is sent next is in the log, unless a snapshot is needed; then the follower is behind the log's beginning.
 * 4. A snapshot is under way, or waits to be tried again, only in the state `snapshot`, and never both.
 * 5. Entries are pipelined only while the intake is open. While it is not, the follower lacks some.
 */
export class Progress {
  /** The highest index known to be durable on the follower and equal to ours. Falls only by `forgetMatch`. */
  matchIndex: LogIndex = NO_INDEX
  /** The next entry to send. */
  nextIndex: LogIndex
  state: 'probe' | 'replicate' | 'snapshot' = 'probe'
  /** A probe is on its way: wait for its answer, or for that of the next heartbeat. */
  probeSent = false
  /** Entries went along with the newest probe. */
  probeCarried = false
  /** Whether it takes entries. */
  intake: 'open' | 'suspect' | 'closed' = 'open'
  /** A heartbeat was due since entries were last offered: its answer may be followed by another offer. */
  offerDue = false
  /** The follower answered since the last check of the quorum (thesis §6.2). */
  recentlyActive = false
  /** It did so in the period before that check. */
  wasActive = false
  /** Its newest answer said that it lost a part of its log or its votes: it counts for nothing (doubt.ts). */
  doubtful = false
  /** It said so, being a voter, at the last check of the quorum already. */
  wasDoubtful = false
  /** The last leaderCommit that it was sent. */
  commitSent: LogIndex = NO_INDEX
  /** The newest round of leadership confirmation that it echoed. */
  readRound = 0
  /** Entries for it are being read from disk. */
  load: PendingLoad | undefined = undefined
  /** The shell was asked to send a snapshot. */
  snapshotAsked = false
  /** Until the shell is asked again, after it failed. */
  snapshotPauseTicks = 0
  readonly inFlight: InFlight

  constructor(options: RaftOptions, nextIndex: LogIndex) {
    this.nextIndex = nextIndex
    this.inFlight = new InFlight(options.inFlightMessagesMax, options.inFlightBytesMax)
  }

  /** Notes an acknowledgement: whatever was sent, the logs are equal up to here. The log begins after `baseIndex`. */
  acknowledge(matchIndex: LogIndex, baseIndex: LogIndex): void {
    // A probe without entries may find that the follower has taken more than it had told.
    const isTaken = matchIndex >= this.nextIndex || (!this.probeCarried && matchIndex > this.matchIndex)
    this.matchIndex = higher(this.matchIndex, matchIndex)
    this.nextIndex = higher(this.nextIndex, offset(this.matchIndex, 1))
    this.inFlight.acknowledge(this.matchIndex)
    if (this.state === 'snapshot' && this.matchIndex < baseIndex) return
    if (this.state === 'probe' && !isTaken && (this.probeCarried || this.intake !== 'open')) {
      this.#noteNothingTaken()
      return
    }
    this.state = 'replicate'
    this.intake = 'open'
    this.probeSent = false
    this.snapshotAsked = false
    this.snapshotPauseTicks = 0
  }

  /**
   * An acknowledgement that takes nothing of what a probe carried. It may answer an earlier message, and then the probe's
   * own follows and makes up for it. Otherwise the probe was lost or not taken: the next one waits for a heartbeat.
   */
  #noteNothingTaken(): void {
    if (this.probeCarried) this.intake = this.intake === 'open' ? 'suspect' : 'closed'
    // One that carried nothing has found where the logs agree, once the follower has that durably.
    if (this.probeCarried ? this.offerDue : this.isAgreed) this.probeSent = false
  }

  /** The next entry to send is the first that the follower may lack. */
  get isAgreed(): boolean {
    return this.matchIndex === this.nextIndex - 1
  }

  /** A probe leaves, with or without entries. */
  noteProbe(carried: boolean): void {
    this.probeSent = true
    this.probeCarried = carried
    if (carried) this.offerDue = false
  }

  /** It refused what was sent ahead. */
  suspect(): void {
    if (this.state === 'replicate') this.intake = 'suspect'
  }

  /** The entries that it needs next are compacted. */
  needSnapshot(): void {
    this.probeFrom(offset(this.matchIndex, 1))
    this.state = 'snapshot'
  }

  /** A check of the quorum ends one period and begins the next. */
  beginPeriod(): void {
    this.wasActive = this.recentlyActive
    this.recentlyActive = false
  }

  /** The follower lost what it had acknowledged. */
  forgetMatch(): void {
    this.matchIndex = NO_INDEX
  }

  /** Stops pipelining and asks whether the logs agree before `nextIndex`. */
  probeFrom(nextIndex: LogIndex): void {
    this.state = 'probe'
    this.nextIndex = higher(nextIndex, offset(this.matchIndex, 1))
    this.probeSent = false
    this.probeCarried = false
    this.load = undefined
    this.inFlight.clear()
  }

  /** A refusal that tells nothing new: it was overtaken by an acknowledgement, or answers an earlier probe. */
  isStaleRefusal(refusedIndex: LogIndex): boolean {
    if (refusedIndex <= this.matchIndex) return true
    return this.state === 'probe' && refusedIndex !== this.nextIndex - 1
  }

  /** @throws InvariantError when an invariant of this type does not hold */
  validate(baseIndex: LogIndex, lastIndex: LogIndex): void {
    assert(this.matchIndex < this.nextIndex, 'what is known to match is not sent again')
    assert(this.nextIndex <= lastIndex + 1, 'nothing behind the log can be sent')
    assert(this.state === 'snapshot' || this.nextIndex > baseIndex, 'what is compacted is not sent')
    assert(this.state !== 'snapshot' || this.matchIndex < baseIndex, 'a snapshot goes to whoever needs it')
    assert(this.state === 'snapshot' || !this.snapshotAsked, 'a snapshot goes to whoever needs it')
    assert(this.snapshotPauseTicks === 0 || (this.state === 'snapshot' && !this.snapshotAsked), 'a pause ends first')
    if (this.state === 'replicate') {
      assert(this.intake === 'open', 'nothing is sent ahead to a follower that may take nothing')
      return
    }
    assert(this.inFlight.count === 0, 'a probe is not counted in flight')
    assert(this.intake === 'open' || this.matchIndex < lastIndex, 'a follower that has everything took it')
    const isOffered = this.state === 'probe' && this.intake !== 'open'
    assert(this.load === undefined || isOffered, 'nothing is loaded before the logs are known to agree')
  }
}
