import { assert } from '../../../base/index.ts'
import type { Row, StoreTransaction } from '../store/index.ts'
import { MyRefusal } from './errors.ts'

/** `ROLLBACK ONLY`: a deadlock has taken its work back. `DETACHED`: prepared, and its session is gone. */
export type XaState = 'ACTIVE' | 'IDLE' | 'PREPARED' | 'ROLLBACK ONLY' | 'DETACHED'

export interface Xid {
  readonly formatId: number
  readonly gtrid: string
  readonly bqual: string
}

/** One branch. */
export interface XaBranch {
  readonly xid: Xid
  state: XaState
  /** Undefined: nothing of it is left, as of a branch that wrote nothing and lost its session. */
  tx: StoreTransaction | undefined
}

/**
 * The xids that a server knows.
 *
 * Ownership: while the session that prepared a branch lives, only that one can end it. To all others its xid is unknown
 * (1397), although XA RECOVER lists it.
 */
export class XaBranches {
  readonly #branches = new Map<string, XaBranch>()
  readonly #settling = new Set<XaBranch>()

  /** @throws MyRefusal 1440 when the xid is known, in whatever state */
  add(xid: Xid, tx: StoreTransaction): XaBranch {
    const key = keyOf(xid)
    if (this.#branches.has(key)) throw new MyRefusal('dupid')
    const branch: XaBranch = { xid, state: 'ACTIVE', tx }
    this.#branches.set(key, branch)
    return branch
  }

  remove(branch: XaBranch): void {
    assert(this.#branches.get(keyOf(branch.xid)) === branch, 'a branch is removed once')
    this.#branches.delete(keyOf(branch.xid))
    this.#settling.delete(branch)
  }

  /** A branch without a session, for somebody who wants to end it; until then it is nobody else's. @throws MyRefusal 1397 */
  claim(xid: Xid): XaBranch {
    const branch = this.#branches.get(keyOf(xid))
    if (branch === undefined || branch.state !== 'DETACHED' || this.#settling.has(branch)) throw new MyRefusal('nota')
    this.#settling.add(branch)
    return branch
  }

  /** Nobody is ending it just now. */
  isFree(branch: XaBranch): boolean {
    return !this.#settling.has(branch)
  }

  /** Whether it is still there: a crash may have come in between. */
  knows(branch: XaBranch): boolean {
    return this.#branches.get(keyOf(branch.xid)) === branch
  }

  /** The claim is over without an end: the claiming session is gone. */
  unclaim(branch: XaBranch): void {
    this.#settling.delete(branch)
  }

  /** Every branch that was prepared, owned or not. */
  prepared(): XaBranch[] {
    return [...this.#branches.values()].filter(({ state }) => state === 'PREPARED' || state === 'DETACHED')
  }

  /** After a crash only prepared branches that wrote are left. */
  crash(): void {
    this.#settling.clear()
    for (const [key, branch] of this.#branches) {
      const survives = (branch.state === 'PREPARED' || branch.state === 'DETACHED') && branch.tx !== undefined
      if (survives && branch.tx?.isPrepared === true) branch.state = 'DETACHED'
      else this.#branches.delete(key)
    }
  }

  /** XA RECOVER. */
  rows(): Row[] {
    return this.prepared().map(({ xid: { formatId, gtrid, bqual } }) => ({
      formatID: formatId,
      gtrid_length: gtrid.length,
      bqual_length: bqual.length,
      data: gtrid + bqual,
    }))
  }
}

export function keyOf({ formatId, gtrid, bqual }: Xid): string {
  return `${formatId}:${gtrid.length}:${gtrid}${bqual}`
}
