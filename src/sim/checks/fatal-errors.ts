import type { FaultAtlas } from '../faults/atlas.ts'
import type { SimNode } from '../fleet/node.ts'

/** Codes with which a coordinator says that its directory is damaged. It waits for an operator then. */
const DAMAGE_CODES: ReadonlySet<string> = new Set([
  'WAL_DAMAGED',
  'REPLICA_LOG_MALFORMED',
  'SNAPSHOT_DAMAGED',
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

/** Whether a coordinator ended because of damage, so that starting it again is of no use. */
export function isDamageReport(error: Error | undefined): boolean {
  return error !== undefined && DAMAGE_CODES.has(codeOf(error))
}

/** The disk itself refused. */
const DISK_CODES: ReadonlySet<string> = new Set(['WAL_FAILED', 'EIO', 'ENOSPC'])

/**
 * Whether this end of a coordinator has a cause that we made: an error that the disk gave it in this run, or damage.
 * Every other end by itself is a bug.
 */
export function isExcused(node: SimNode, error: Error, atlas: FaultAtlas): boolean {
  if (isDamageReport(error)) return atlas.isDamaged(node)
  return DISK_CODES.has(codeOf(error)) && (node.errorsInRun > 0 || atlas.isDamaged(node))
}
