import { makeGid } from '../../base/index.ts'
import type { Verb } from '../branch-life.ts'
import type { BranchIdentity, SettleResult } from '../resource.ts'
import { decisive, stepOf } from '../statement-points.ts'
import { Errno, errnoOf } from './errors.ts'
import { isListed, type RecoverRow, xidLiteral } from './xid.ts'

export type Run = (sql: string, values?: readonly unknown[]) => Promise<readonly Record<string, unknown>[]>

/** All prepared branches of the server. */
export async function recover(run: Run): Promise<readonly RecoverRow[]> {
  return (await run('XA RECOVER')) as unknown as readonly RecoverRow[]
}

/**
 * XA COMMIT or XA ROLLBACK of a prepared branch.
 *
 * @param place the name under which the coordinators know the database
 * @throws what the driver threw when the answer is neither success nor an unknown xid
 */
export async function settlePrepared(
  run: Run,
  verb: Verb,
  identity: BranchIdentity,
  place: string,
): Promise<SettleResult> {
  try {
    await decisive(stepOf(verb), identity.txid, place, () => run(`XA ${verb} ${xidLiteral(identity)}`))
    return { kind: 'done' }
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === Errno.unknownXid) return unknownOrBusy(run, identity)
    // 1402: the branch is gone, rolled back. That is what ROLLBACK wanted; for COMMIT it takes evidence.
    if (errno === Errno.rolledBack) return verb === 'ROLLBACK' ? { kind: 'done' } : { kind: 'unknownGid' }
    throw error
  }
}

/**
 * MariaDB answers 1397 also while the preparing session lives. The list is read after that answer: a branch that is
 * settled in between is missing from it, which is right; the other order could call a living branch unknown.
 */
async function unknownOrBusy(run: Run, { cluster, txid, branch }: BranchIdentity): Promise<SettleResult> {
  const listed = isListed(await recover(run), makeGid(cluster, txid, branch))
  return listed ? { kind: 'busy' } : { kind: 'unknownGid' }
}
