import { assert } from '../base/index.ts'
import type { Core } from './core.ts'
import { offset } from './positions.ts'
import { replicateTo } from './replication.ts'
import type { LogIndex } from './types.ts'

/**
 * A durable snapshot covers everything up to `through`: the log before it is forgotten (§7). Followers that need what
 * is gone will get the snapshot instead; so the shell keeps a tail for those that are only slow.
 */
export function onCompact(core: Core, through: LogIndex): void {
  const { log } = core
  assert(through <= core.lastApplied, 'a snapshot covers only what was applied')
  // A snapshot that a leader sent may have overtaken this one.
  if (through <= log.baseIndex) return
  log.compactTo(through)
  core.durability.coverTo(through)
  for (const [peer, progress] of core.leading?.followers ?? []) {
    // What was to be loaded may be gone from the disk by the time it is read, and then no answer comes.
    const isLoadGone = progress.load !== undefined && progress.load.from <= log.baseIndex
    const isBehind = progress.state !== 'snapshot' && progress.nextIndex <= log.baseIndex
    if (isLoadGone) progress.load = undefined
    // It may have more than it acknowledged: ask before a snapshot is sent.
    if (isBehind) progress.probeFrom(offset(log.baseIndex, 1))
    if (isLoadGone || isBehind) replicateTo(core, peer, progress)
  }
}
