import type { Core } from './core.ts'
import { entriesBytes, offset } from './positions.ts'
import { broadcastAppend } from './replication.ts'
import { type Entry, EntryKind, type ProposalRefusal } from './types.ts'

/** Appends commands to the leader's log; its disk and its followers get them in the same moment (thesis §10.2.1). */
export function onPropose(core: Core, proposals: readonly Uint8Array[]): void {
  const { leading, log, currentTerm: term } = core
  if (leading === undefined) {
    refuse(core, 'notLeader')
    return
  }
  if (leading.transfer !== undefined) {
    refuse(core, 'transferring')
    return
  }
  if (proposals.length === 0) return
  const firstIndex = offset(log.lastIndex, 1)
  const entries = proposals.map(
    (data, at): Entry => ({ term, index: offset(firstIndex, at), kind: EntryKind.command, data }),
  )
  const bytes = entriesBytes(entries)
  // Proposals of any size are taken when nothing waits: otherwise one larger than the limit could never get through.
  const { uncommittedBytes } = leading
  if (uncommittedBytes > 0 && uncommittedBytes + bytes > core.options.uncommittedBytesMax) {
    refuse(core, 'backPressure')
    return
  }
  leading.uncommittedBytes += bytes
  log.append(entries)
  core.outbox.writeEntries(entries)
  core.outbox.emit({ kind: 'proposed', firstIndex, term, count: entries.length })
  broadcastAppend(core)
}

function refuse(core: Core, reason: ProposalRefusal): void {
  core.outbox.emit({ kind: 'proposalRefused', reason, leader: core.leader })
}
