import type { FaultAtlas } from '../faults/atlas.ts'
import type { SimNode } from '../fleet/node.ts'

/** Codes with which a coordinator says that its log is damaged. It starts again, in doubt, and is rebuilt. */
const DAMAGE_CODES: ReadonlySet<string> = new Set(['WAL_DAMAGED', 'REPLICA_LOG_MALFORMED', 'SNAPSHOT_DAMAGED'])

/** The others won't have it with this directory: it waits for an operator. */
const REFUSAL_CODES: ReadonlySet<string> = new Set([
  // What rotted was at the log's end and looked like a torn write; its peers remember better.
  'NODE_STORE_OLD',
  // The header of the first segment rotted, and the directory's id with it.
  'NODE_STORE_CHANGED',
])

/** The stable code of an error, or its name. */
export function codeOf(error: Error): string {
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' ? code : error.name
}

/** Whether a coordinator was refused for its directory, so that starting it again is of no use. */
export function isRefusedForGood(error: Error | undefined): boolean {
  return error !== undefined && REFUSAL_CODES.has(codeOf(error))
}

/** The disk itself refused. */
const DISK_CODES: ReadonlySet<string> = new Set(['WAL_FAILED', 'EIO', 'ENOSPC'])

/**
 * Whether this end of a coordinator has a cause that we made: an error that the disk gave it in this run, or damage.
 * Every other end by itself is a bug.
 */
export function isExcused(node: SimNode, error: Error, atlas: FaultAtlas): boolean {
  const code = codeOf(error)
  if (DAMAGE_CODES.has(code) || REFUSAL_CODES.has(code)) return atlas.isDamaged(node)
  return DISK_CODES.has(code) && (node.errorsInRun > 0 || atlas.isDamaged(node))
}
