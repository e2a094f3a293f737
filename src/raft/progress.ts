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
 *
 * Invariants, checked by validate():
 * 1. matchIndex < nextIndex <= lastIndex + 1.
 * 2. Nothing is counted in flight, and nothing is loaded, while probing.
 */
export class Progress {
  /** The highest index known to be durable on the follower and equal to ours. Never falls. */
  matchIndex: LogIndex = NO_INDEX
  /** The next entry to send. */
  nextIndex: LogIndex
  state: 'probe' | 'replicate' = 'probe'
  /** A probe is on its way: wait for its answer, or for that of the next heartbeat. */
  probeSent = false
  /** The follower answered since the last check of the quorum (thesis §6.2). */
  recentlyActive = false
  /** The last leaderCommit that it was sent. */
  commitSent: LogIndex = NO_INDEX
  /** The newest round of leadership confirmation that it echoed. */
  readRound = 0
  /** Entries for it are being read from disk. */
  load: PendingLoad | undefined = undefined
  readonly inFlight: InFlight

  constructor(options: RaftOptions, nextIndex: LogIndex) {
    this.nextIndex = nextIndex
    this.inFlight = new InFlight(options.inFlightMessagesMax, options.inFlightBytesMax)
  }

  /** Notes an acknowledgement: whatever was sent, the logs are equal up to here. */
  acknowledge(matchIndex: LogIndex): void {
    this.matchIndex = higher(this.matchIndex, matchIndex)
    this.nextIndex = higher(this.nextIndex, offset(this.matchIndex, 1))
    this.inFlight.acknowledge(this.matchIndex)
    this.state = 'replicate'
    this.probeSent = false
  }

  /** Stops pipelining and asks whether the logs agree before `nextIndex`. */
  probeFrom(nextIndex: LogIndex): void {
    this.state = 'probe'
    this.nextIndex = higher(nextIndex, offset(this.matchIndex, 1))
    this.probeSent = false
    this.load = undefined
    this.inFlight.clear()
  }

  /** A refusal that tells nothing new: it was overtaken by an acknowledgement, or answers an earlier probe. */
  isStaleRefusal(refusedIndex: LogIndex): boolean {
    if (refusedIndex <= this.matchIndex) return true
    return this.state === 'probe' && refusedIndex !== this.nextIndex - 1
  }

  /** @throws InvariantError when an invariant of this type does not hold */
  validate(lastIndex: LogIndex): void {
    assert(this.matchIndex < this.nextIndex, 'what is known to match is not sent again')
    assert(this.nextIndex <= lastIndex + 1, 'nothing behind the log can be sent')
    if (this.state === 'replicate') return
    assert(this.inFlight.count === 0, 'a probe is not counted in flight')
    assert(this.load === undefined, 'nothing is loaded before the logs are known to agree')
  }
}
