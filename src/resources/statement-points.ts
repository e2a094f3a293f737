import { hit, isArmed, parseGid } from '../base/index.ts'

/** What a statement decides about one branch. */
export type DecisiveStep = 'prepare' | 'commit' | 'rollback' | 'one-phase' | 'evidence'

/**
 * Sends a statement between its crash points: before it, sent and not answered, answered (refused is answered, too).
 *
 * @param whose a gid or a txid
 * @param place the name under which the coordinators know the database
 */
export function decisive<T>(step: DecisiveStep, whose: string, place: string, send: () => Promise<T>): Promise<T> {
  return isArmed() ? watched(step, parseGid(whose)?.txid ?? whose, place, send) : send()
}

async function watched<T>(step: DecisiveStep, txid: string, place: string, send: () => Promise<T>): Promise<T> {
  hit(`database.${step}.before-send`, txid, place)
  const answer = send()
  hit(`database.${step}.sent`, txid, place)
  try {
    return await answer
  } finally {
    hit(`database.${step}.answered`, txid, place)
  }
}

/** Of a phase two. */
export function stepOf(verb: 'COMMIT' | 'ROLLBACK'): 'commit' | 'rollback' {
  return verb === 'COMMIT' ? 'commit' : 'rollback'
}
