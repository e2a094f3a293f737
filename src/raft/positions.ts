import type { Entry, LogIndex } from './types.ts'

/**
 * Counted for each entry besides its data: no less than a codec's header for one entry, so that limits by bytes also
 * bound a flood of empty entries.
 */
export const ENTRY_OVERHEAD_BYTES = 32

/** What an entry counts towards every limit by bytes: its data and a fixed overhead. */
export function entryBytes(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES
}

/** What `entries` count towards limits by bytes, together. */
export function entriesBytes(entries: readonly Entry[]): number {
  let bytes = 0
  for (const entry of entries) bytes += entryBytes(entry)
  return bytes
}

/** The index `distance` behind `index`; negative distances go towards the log's beginning. */
export function offset(index: LogIndex, distance: number): LogIndex {
  return (index + distance) as LogIndex
}

/** The lower of two indexes. */
export function lower(a: LogIndex, b: LogIndex): LogIndex {
  return a < b ? a : b
}

/** The higher of two indexes. */
export function higher(a: LogIndex, b: LogIndex): LogIndex {
  return a > b ? a : b
}
