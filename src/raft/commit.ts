import { assert } from '../base/index.ts'
import { decodeConfiguration } from './configuration-codec.ts'
import { applyConfiguration } from './configuration-in-force.ts'
import type { Core } from './core.ts'
import type { Leadership } from './leadership.ts'
import { checkLoaded, requestLoad } from './loads.ts'
import { entryBytes, lower, offset } from './positions.ts'
import { reachedByQuorum } from './quorum.ts'
import { beginRoundIfWanted } from './read-index.ts'
import { type Entry, EntryKind, type LoadId, type LogIndex } from './types.ts'

/** Entry bytes that are read at once for `apply` after a restart. One such read is under way at most. */
const APPLY_LOAD_BYTES_MAX = 1024 * 1024

/**
 * Figure 2, leaders, last rule: commits what a majority holds durably. The leader counts itself only as far as its own
 * disk is, which writes while the messages travel (thesis §10.2.1).
 */
export function advanceLeaderCommit(core: Core): void {
  const { leading, nodeId, durability } = core
  if (leading === undefined) return
  const index = reachedByQuorum(core.configuration, (voter) =>
    voter === nodeId ? durability.durableIndex : leading.countedMatch(voter),
  ) as LogIndex
  // Raft §5.4.2: an entry of an earlier term commits only through one of ours, so counting its replicas is not
  // enough (Figure 8). Terms never decrease along the log, hence everything from our no-op on is ours.
  if (index <= core.commitIndex || index < leading.noopIndex) return
  assert(core.log.termAt(index) === core.currentTerm, 'a leader commits entries of its own term')
  releaseBackPressure(core, leading, index)
  commitTo(core, index)
}

/** Raises commitIndex and applies. On a follower, `index` is bounded by what it knows to equal the leader's log. */
export function commitTo(core: Core, index: LogIndex): void {
  assert(index >= core.commitIndex && index <= core.log.lastIndex, 'commitIndex only rises, and within the log')
  core.commitIndex = index
  applyCommitted(core)
}

/** Committed entries came back from disk. Committed entries never change, so only the request's id has to match. */
export function onLoadedForApply(core: Core, loadId: LoadId, entries: readonly Entry[]): void {
  const load = core.applyLoad
  if (load?.loadId !== loadId) return
  core.applyLoad = undefined
  assert(load.from === offset(core.lastApplied, 1), 'entries are applied in order, each once')
  checkLoaded(core, load, entries)
  apply(core, entries)
  applyCommitted(core)
}

/** Hands over what is committed: from memory, or after a restart from the disk, a bounded batch at a time. */
export function applyCommitted(core: Core): void {
  const { log } = core
  if (core.lastApplied === core.commitIndex || core.applyLoad !== undefined) return
  const from = offset(core.lastApplied, 1)
  if (from >= log.cachedFrom) apply(core, log.sliceAll(from, core.commitIndex))
  else
    core.applyLoad = requestLoad(
      core,
      from,
      lower(core.commitIndex, core.durability.durableIndex),
      APPLY_LOAD_BYTES_MAX,
    )
}

function apply(core: Core, entries: readonly Entry[]): void {
  let from = 0
  for (const [at, entry] of entries.entries()) {
    if (entry.kind !== EntryKind.configuration) continue
    handOver(core, entries.slice(from, at + 1))
    applyConfiguration(core, decodeConfiguration(entry.data), entry.index)
    // A node that restarted with the configuration before could need the vote of one that was removed and is gone: of
    // two voters, the one that is left would wait for the other for ever.
    core.outbox.writeCommitIndex()
    from = at + 1
  }
  if (from < entries.length) handOver(core, from === 0 ? entries : entries.slice(from))
}

function handOver(core: Core, entries: readonly Entry[]): void {
  core.outbox.emit({ kind: 'apply', entries })
  core.lastApplied = offset(core.lastApplied, entries.length)
  const { leading } = core
  if (leading === undefined || leading.serving || core.lastApplied < leading.noopIndex) return
  // §8: only now does a new leader know all that its predecessors committed.
  leading.serving = true
  core.outbox.emit({ kind: 'serving', term: core.currentTerm })
  beginRoundIfWanted(core)
}

function releaseBackPressure(core: Core, leading: Leadership, index: LogIndex): void {
  if (leading.uncommittedBytes === 0) return
  const from = Math.max(core.commitIndex + 1, leading.noopIndex) as LogIndex
  for (const entry of core.log.sliceAll(from, index)) leading.uncommittedBytes -= countedBytes(entry)
}

/** What an entry counts towards uncommittedBytesMax: only commands do. */
export function countedBytes(entry: Entry): number {
  return entry.kind === EntryKind.command ? entryBytes(entry) : 0
}
