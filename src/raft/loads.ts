import { assert } from '../base/index.ts'
import type { Core } from './core.ts'
import { ENTRY_OVERHEAD_BYTES, lower, offset } from './positions.ts'
import type { PendingLoad } from './progress.ts'
import type { Entry, LoadId, LogIndex } from './types.ts'

/**
 * Asks for entries that are no longer in memory, from `from` up to `to` or the cache, whichever ends first.
 * All of them are durable: only durable entries leave the cache, so the disk holds what the log holds.
 */
export function requestLoad(core: Core, from: LogIndex, to: LogIndex, bytesMax: number): PendingLoad {
  assert(from > core.log.baseIndex, 'entries below the log can not be loaded: whoever needs them needs a snapshot')
  assert(from < core.log.cachedFrom, 'what is in memory is not loaded')
  // Every entry counts some bytes, so asking for more could only make the answer larger than it may be.
  const countMax = Math.max(1, Math.floor(bytesMax / ENTRY_OVERHEAD_BYTES))
  const end = lower(lower(to, offset(core.log.cachedFrom, -1)), offset(from, countMax - 1))
  core.lastLoadId++
  const load = { loadId: core.lastLoadId as LoadId, from, to: end }
  core.outbox.emit({ kind: 'load', ...load, bytesMax })
  return load
}

/** Whoever asked checks what came against the terms in memory: bytes of another leader's entry must never get further. */
export function checkLoaded(core: Core, load: PendingLoad, entries: readonly Entry[]): void {
  assert(entries.length > 0, 'the first entry that was asked for is on disk')
  assert(entries.length <= load.to - load.from + 1, 'no more entries come than were asked for')
  let expected = load.from
  for (const entry of entries) {
    assert(entry.index === expected, 'loaded entries are consecutive and begin where the request began')
    assert(core.log.matches(entry.index, entry.term), 'the disk returned an entry of a term that the log does not have')
    expected = offset(expected, 1)
  }
}
