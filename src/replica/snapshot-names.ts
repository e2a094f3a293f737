import type { LogIndex, SnapshotPosition, Term } from '../raft/index.ts'

const NAME = /^snapshot-(\d{1,16})-(\d{1,16})(?:-([0-9a-f]{1,14}))?\.snap$/

/** The file of a snapshot that this node took: `snapshot-<index>-<term>.snap`. */
export function takenName({ index, term }: SnapshotPosition): string {
  return `snapshot-${index}-${term}.snap`
}

/** The file of a snapshot that a leader sent: with its id, since each node takes its own at a position. */
export function receivedName({ index, term }: SnapshotPosition, snapshotId: number): string {
  return `snapshot-${index}-${term}-${snapshotId.toString(16)}.snap`
}

/** What a file's name tells, or undefined for other files. */
export function parseSnapshotName(
  name: string,
): { readonly position: SnapshotPosition; readonly snapshotId: number | undefined } | undefined {
  const match = NAME.exec(name)
  if (match === null) return undefined
  const position = { index: Number(match[1]) as LogIndex, term: Number(match[2]) as Term }
  return { position, snapshotId: match[3] === undefined ? undefined : Number.parseInt(match[3], 16) }
}
