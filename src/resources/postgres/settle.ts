import type { Gid } from '../../base/index.ts'
import type { Verb } from '../branch-life.ts'
import type { SettleResult } from '../resource.ts'
import { decisive, stepOf } from '../statement-points.ts'
import type { Reply } from './driver.ts'
import { sqlStateOf } from './errors.ts'

/**
 * COMMIT PREPARED or ROLLBACK PREPARED.
 *
 * @param place the name under which the coordinators know the database
 * @throws what the driver threw when the answer is neither success, 42704 (unknown) nor 55000 (busy)
 */
export async function settlePrepared(
  run: (sql: string) => Promise<Reply>,
  verb: Verb,
  gid: Gid,
  place: string,
): Promise<SettleResult> {
  try {
    // A gid has only [A-Za-z0-9_-]: it can't leave its quotes. The statement takes no parameters.
    await decisive(stepOf(verb), gid, place, () => run(`${verb} PREPARED '${gid}'`))
    return { kind: 'done' }
  } catch (error) {
    const state = sqlStateOf(error)
    if (state === '42704') return { kind: 'unknownGid' }
    if (state === '55000') return { kind: 'busy' }
    throw error
  }
}
