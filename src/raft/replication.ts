import { assert, type NodeId } from '../base/index.ts'
import { advanceLeaderCommit } from './commit.ts'
import type { Core } from './core.ts'
import { checkLoaded, requestLoad } from './loads.ts'
import { entriesBytes, entryBytes, higher, lower, offset } from './positions.ts'
import type { Progress } from './progress.ts'
import { acknowledgeRound } from './read-index.ts'
import { announceCommit, askForSnapshot, broadcastHeartbeat, sendAppend } from './sending.ts'
import { continueTransfer } from './transfer.ts'
import type { AppendEntriesResponse, Entry, LoadId, LogIndex } from './types.ts'

const NO_ENTRIES: readonly Entry[] = []
/** A limit by bytes that lets one entry go: the first always does. */
const ONE_ENTRY_BYTES = 1

/** Sends everyone what it lacks, as far as its window allows. */
export function broadcastAppend(core: Core): void {
  for (const [peer, progress] of core.leading?.followers ?? []) replicateTo(core, peer, progress)
}

/** A tick on the leader. */
export function tickHeartbeat(core: Core): void {
  if (core.leading === undefined) return
  core.heartbeatElapsedTicks++
  if (core.heartbeatElapsedTicks < core.options.heartbeatTicks) {
    announceCommit(core)
    return
  }
  core.heartbeatElapsedTicks = 0
  for (const progress of core.leading.followers.values()) progress.offerDue = true
  broadcastHeartbeat(core)
}

/** An answer to AppendEntries of this term (§5.3, leader's side). */
export function onAppendEntriesResponse(core: Core, response: AppendEntriesResponse): void {
  const progress = core.leading?.followers.get(response.from)
  if (progress === undefined || response.term !== core.currentTerm) return
  progress.recentlyActive = true
  progress.doubtful = response.doubtful
  if (isEcho(response)) progress.readRound = Math.max(progress.readRound, response.readRound)
  if (response.success) noteMatch(core, response.from, progress, response.matchIndex)
  else onRefusal(core, response, progress)
  acknowledgeRound(core)
  continueTransfer(core, response.from)
}

/**
 * True when the answer confirms this leader's round. A refusal does as well: its sender knows no later leader. Not so one
 * that lost its votes, for it may have known one; nor a refusal of index 0, where nothing can differ: that answers a
 * message of an earlier term, which this very node may have led (peers of protocol 1.0 echo its round nevertheless).
 */
function isEcho({ doubtful, success, matchIndex }: AppendEntriesResponse): boolean {
  return !doubtful && (success || matchIndex > 0)
}

/** Entries came back from disk for a follower. Answers that nobody waits for any more are dropped. */
export function onLoadedForFollower(core: Core, loadId: LoadId, entries: readonly Entry[]): void {
  for (const [peer, progress] of core.leading?.followers ?? []) {
    const load = progress.load
    if (load?.loadId !== loadId) continue
    progress.load = undefined
    // Acknowledgements of what an earlier leader sent may have moved nextIndex on.
    if (load.from === progress.nextIndex && !progress.inFlight.isFull) {
      checkLoaded(core, load, entries)
      const fitting = fittingPrefix(entries, messageBytesMax(core, progress))
      if (progress.state === 'probe') sendProbe(core, peer, progress, fitting)
      else sendPipelined(core, peer, progress, fitting)
    }
    replicateTo(core, peer, progress)
    return
  }
}

/** The leader's own disk caught up: that may be what a commit waited for. */
export function onLeaderDurable(core: Core): void {
  advanceLeaderCommit(core)
}

/** The transport lost the peer, and with it whatever was in flight: go back to the last acknowledged position. */
export function onUnreachable(core: Core, peer: NodeId): void {
  const progress = core.leading?.followers.get(peer)
  if (progress?.state !== 'replicate') return
  // What it did not acknowledge may be compacted by now; but it may have it.
  progress.probeFrom(offset(higher(progress.matchIndex, core.log.baseIndex), 1))
}

/** The follower holds durably what the leader holds, up to here. */
export function noteMatch(core: Core, peer: NodeId, progress: Progress, matchIndex: LogIndex): void {
  assert(matchIndex <= core.log.lastIndex, 'a follower can not match beyond its leader')
  progress.acknowledge(matchIndex, core.log.baseIndex)
  advanceLeaderCommit(core)
  replicateTo(core, peer, progress)
}

/**
 * The follower has no entry of this term at prevLogIndex. It says up to where it could agree at best; with our own
 * terms that skips every entry of a conflicting term at once, so the search takes one round for each such term and
 * not for each entry (§5.3, end).
 */
function onRefusal(core: Core, response: AppendEntriesResponse, progress: Progress): void {
  const refusedIndex = response.matchIndex
  if (response.doubtful && refusedIndex <= progress.matchIndex) progress.forgetMatch()
  const { log } = core
  if (progress.state === 'snapshot') {
    // It lacks what the log begins after, which is why it needs a snapshot.
    askForSnapshot(core, response.from, progress)
    return
  }
  if (progress.isStaleRefusal(refusedIndex)) return
  const { hintIndex, hintTerm } = response
  // A follower that had what the log begins after would have named an entry there or behind.
  const agreedIndex = hintIndex < log.baseIndex ? hintIndex : log.highestWithin(hintIndex, hintTerm)
  progress.suspect()
  // Whatever the hint says, each refusal must bring the search forward.
  progress.probeFrom(lower(refusedIndex, offset(agreedIndex, 1)))
  replicateTo(core, response.from, progress)
}

/** Sends `peer` what it lacks: entries as far as its window allows, or a snapshot when they are compacted. */
export function replicateTo(core: Core, peer: NodeId, progress: Progress): void {
  const { log, options } = core
  if (progress.nextIndex <= log.baseIndex && progress.state !== 'snapshot') progress.needSnapshot()
  if (progress.state === 'snapshot') {
    askForSnapshot(core, peer, progress)
    return
  }
  if (progress.state === 'probe') {
    probe(core, peer, progress)
    return
  }
  while (progress.load === undefined && progress.nextIndex <= log.lastIndex && !progress.inFlight.isFull) {
    if (progress.nextIndex >= log.cachedFrom) {
      sendPipelined(core, peer, progress, log.slice(progress.nextIndex, log.lastIndex, options.messageBytesMax))
    } else {
      progress.load = requestLoad(core, progress.nextIndex, log.lastIndex, options.messageBytesMax)
    }
  }
}

/**
 * One message to find out whether the logs agree. It takes entries along when they are at hand, for they may fit. If it
 * is to find out whether the follower takes entries, they are loaded, as soon as the logs are known to agree.
 */
function probe(core: Core, peer: NodeId, progress: Progress): void {
  if (progress.probeSent || progress.load !== undefined) return
  const { log } = core
  const { nextIndex } = progress
  const bytesMax = messageBytesMax(core, progress)
  if (nextIndex > log.lastIndex) sendProbe(core, peer, progress, NO_ENTRIES)
  else if (nextIndex >= log.cachedFrom) {
    sendProbe(core, peer, progress, log.slice(nextIndex, log.lastIndex, bytesMax))
  } else if (progress.intake !== 'open' && progress.isAgreed) {
    progress.load = requestLoad(core, nextIndex, log.lastIndex, bytesMax)
  } else sendProbe(core, peer, progress, NO_ENTRIES)
}

/** How much one message to this follower may hold: a single entry when it took none of late. */
function messageBytesMax(core: Core, progress: Progress): number {
  return progress.intake === 'closed' ? ONE_ENTRY_BYTES : core.options.messageBytesMax
}

function sendProbe(core: Core, peer: NodeId, progress: Progress, entries: readonly Entry[]): void {
  progress.noteProbe(entries.length > 0)
  sendAppend(core, peer, progress, entries)
}

function sendPipelined(core: Core, peer: NodeId, progress: Progress, entries: readonly Entry[]): void {
  sendAppend(core, peer, progress, entries)
  const lastIndex = offset(progress.nextIndex, entries.length - 1)
  progress.inFlight.add(lastIndex, entriesBytes(entries))
  progress.nextIndex = offset(lastIndex, 1)
}

/** The shell may load more than one message holds. */
function fittingPrefix(entries: readonly Entry[], bytesMax: number): readonly Entry[] {
  let bytes = 0
  for (const [count, entry] of entries.entries()) {
    bytes += entryBytes(entry)
    if (bytes > bytesMax && count > 0) return entries.slice(0, count)
  }
  return entries
}
