import { assert } from '../base/index.ts'
import { commitTo } from './commit.ts'
import type { Core } from './core.ts'
import { higher, lower, offset } from './positions.ts'
import { hearLeader } from './roles.ts'
import {
  type AppendEntries,
  type AppendEntriesResponse,
  type Entry,
  type LogIndex,
  NO_INDEX,
  NO_TERM,
} from './types.ts'

/** AppendEntries RPC, receiver's side (Figure 2). The term is ours or, if outdated, refused. */
export function onAppendEntries(core: Core, message: AppendEntries): void {
  // Rule 1. The answer carries our term, so that an outdated leader steps down. It echoes no round: the sender may lead
  // our term as well by now, and would take the number for one of its own.
  if (message.term < core.currentTerm) {
    core.outbox.respond(refusal(core, { ...message, readRound: 0 }, NO_INDEX))
    return
  }
  hearLeader(core, message.from)
  // The log is about to be replaced by a snapshot (snapshot-receiving.ts): nothing is appended, compared or committed.
  if (core.installing !== undefined) {
    core.outbox.respond(acknowledgement(core, message.from, acknowledgeable(core), message.readRound))
    return
  }
  const aligned = alignWithBase(core, message)
  // Rule 2, the consistency check (§5.3).
  if (core.log.matches(aligned.prevLogIndex, aligned.prevLogTerm)) accept(core, aligned)
  else core.outbox.respond(refusal(core, message, message.prevLogIndex))
}

/** The disk caught up. Acknowledges what this leader's messages found already in the log, but not yet durable. */
export function onFollowerDurable(core: Core): void {
  if (core.role !== 'follower' || core.leader === undefined) return
  const matchIndex = acknowledgeable(core)
  if (matchIndex <= core.promisedIndex) return
  core.promisedIndex = matchIndex
  // Round 0 echoes nothing: this answers no message in particular.
  core.outbox.send(acknowledgement(core, core.leader, matchIndex, 0))
}

function accept(core: Core, message: AppendEntries): void {
  const fresh = appendFresh(core, message)
  const lastNewIndex = offset(message.prevLogIndex, message.entries.length)
  core.matchedIndex = higher(core.matchedIndex, lastNewIndex)
  // Nothing is acknowledged that is not durable: entries of this step wait for their write, and of those that were
  // there before, only the durable ones count. onFollowerDurable() makes up for the rest.
  const matchIndex = fresh ? core.matchedIndex : acknowledgeable(core)
  core.promisedIndex = higher(core.promisedIndex, matchIndex)
  core.outbox.respond(acknowledgement(core, message.from, matchIndex, message.readRound))
  // Rule 5. Bounded by the last entry of THIS message: what lies behind it may still differ from the leader's log.
  commitTo(core, higher(core.commitIndex, lower(message.leaderCommit, lastNewIndex)))
}

/** Rules 3 and 4: appends what is not there yet, and cuts the log only at a real conflict. */
function appendFresh(core: Core, message: AppendEntries): boolean {
  const at = firstFresh(core, message)
  if (at === message.entries.length) return false
  const entries = at === 0 ? message.entries : message.entries.slice(at)
  const index = offset(message.prevLogIndex, at + 1)
  if (index <= core.log.lastIndex) cutFrom(core, index)
  core.log.append(entries)
  core.outbox.writeEntries(entries)
  return true
}

/**
 * The position of the first entry that the log does not have. A delayed or repeated message has none, and then nothing
 * may be cut: what lies behind it was acknowledged (§5.3).
 */
function firstFresh(core: Core, message: AppendEntries): number {
  const { entries, prevLogIndex } = message
  const { log } = core
  for (let at = 0; at < entries.length; at++) {
    const entry = entries[at]!
    assert(entry.index === prevLogIndex + at + 1, 'the entries of a message are consecutive')
    assert(entry.term <= message.term, 'no entry is newer than its leader')
    if (!log.matches(entry.index, entry.term)) return at
  }
  return entries.length
}

function cutFrom(core: Core, index: LogIndex): void {
  assert(index > core.commitIndex, 'a committed entry is never removed')
  assert(index > core.matchedIndex, 'an entry of this leader is never removed')
  core.log.truncateFrom(index)
  core.durability.cutFrom(index)
}

/** Entries at or below the base are committed, hence equal to the leader's: a late message may still begin there. */
function alignWithBase(core: Core, message: AppendEntries): AppendEntries {
  const { baseIndex } = core.log
  if (message.prevLogIndex >= baseIndex) return message
  const below = Math.min(baseIndex - message.prevLogIndex, message.entries.length)
  const entries: readonly Entry[] = message.entries.slice(below)
  return { ...message, prevLogIndex: baseIndex, prevLogTerm: core.log.termAt(baseIndex), entries }
}

/** What equals the leader's log and is durable here. */
function acknowledgeable(core: Core): LogIndex {
  return lower(core.matchedIndex, core.durability.durableIndex)
}

function acknowledgement(
  core: Core,
  to: AppendEntries['from'],
  matchIndex: LogIndex,
  readRound: number,
): AppendEntriesResponse {
  const { nodeId: from, currentTerm: term } = core
  const hint = { hintIndex: NO_INDEX, hintTerm: NO_TERM }
  return {
    kind: 'appendEntriesResponse',
    from,
    to,
    term,
    success: true,
    matchIndex,
    ...hint,
    readRound,
    doubtful: core.isDoubtful,
  }
}

/**
 * Says where the leader may try next: our last entry at or before prevLogIndex whose term is not higher than
 * prevLogTerm. Everything behind it has a term that the leader can't have there (§5.3, end).
 */
function refusal(core: Core, message: AppendEntries, refusedIndex: LogIndex): AppendEntriesResponse {
  const hintIndex = core.log.highestWithin(message.prevLogIndex, message.prevLogTerm)
  return {
    kind: 'appendEntriesResponse',
    from: core.nodeId,
    to: message.from,
    term: core.currentTerm,
    success: false,
    matchIndex: refusedIndex,
    hintIndex,
    hintTerm: core.log.termAt(hintIndex),
    readRound: message.readRound,
    doubtful: core.isDoubtful,
  }
}
