import type { NodeId } from '../base/index.ts'
import type { Core } from './core.ts'
import type { Reads } from './reads.ts'
import { type LogIndex, NO_INDEX, type ReadKey } from './types.ts'

/** Tells another node where its read may be served; `undefined`: not by us. */
export function answerForwarded(core: Core, to: NodeId, readKey: ReadKey, index: LogIndex | undefined): void {
  const { nodeId: from, currentTerm: term } = core
  const granted = index !== undefined
  core.outbox.respond({ kind: 'readIndexResponse', from, to, term, readKey, granted, index: index ?? NO_INDEX })
}

/** The leadership is lost, and with it all its reads that are not confirmed. */
export function refuseReads(core: Core, lost: Reads): void {
  for (const read of lost.takeAll()) {
    if (read.kind === 'forwarded') answerForwarded(core, read.from, read.readKey, undefined)
    else core.outbox.emit({ kind: 'readRefused', readId: read.readId, reason: 'leadershipLost', leader: core.leader })
  }
}
