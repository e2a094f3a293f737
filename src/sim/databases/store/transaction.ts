import type { Cell, Row } from './table.ts'

interface Undo {
  readonly cell: Cell
  readonly hadPending: boolean
  readonly pending: Row | undefined
}

/** How far a transaction had come: for savepoints and for the rollback of one statement. */
export interface Mark {
  readonly undos: number
  readonly locks: number
}

/**
 * What one transaction has done to the store.
 *
 * 1. It holds the lock of every row that it changed.
 * 2. It waits for at most one row at a time; a prepared one for none.
 */
export class StoreTransaction {
  readonly id: number
  readonly undos: Undo[] = []
  readonly locked: Cell[] = []
  waitsFor: Cell | undefined
  /** The commit up to which plain reads see (repeatable read); undefined: whatever is committed. */
  snapshot: number | undefined
  isPrepared = false
  /** It has had a lock, so it may have written (PostgreSQL: it has an xid). */
  hasTouched = false
  isOver = false

  constructor(id: number) {
    this.id = id
  }

  get mark(): Mark {
    return { undos: this.undos.length, locks: this.locked.length }
  }

  /** What it sees in `cell`. @param latest what is committed last, whatever the snapshot: for statements that lock */
  sees(cell: Cell, latest: boolean): Row | undefined {
    if (cell.holder === this && cell.hasPending) return cell.pending
    let version = cell.committed
    if (!latest && this.snapshot !== undefined) {
      while (version !== undefined && version.seq > this.snapshot) version = version.previous
    }
    return version?.row
  }

  /** Changes a row whose lock it holds. */
  write(cell: Cell, row: Row | undefined): void {
    this.undos.push({ cell, hadPending: cell.hasPending, pending: cell.pending })
    cell.hasPending = true
    cell.pending = row
  }

  /** Takes back what was written since `mark`. Locks stay. */
  undoTo(mark: Mark): void {
    while (this.undos.length > mark.undos) {
      const { cell, hadPending, pending } = this.undos.pop()!
      cell.hasPending = hadPending
      cell.pending = pending
    }
  }
}
