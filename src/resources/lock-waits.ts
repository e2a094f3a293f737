/**
 * Who waits for whom in a database, told by its sessions. A transaction over several databases may be in a circle of which
 * each of them sees only a part.
 */
export interface LockWaitPort {
  /**
   * Which of these sessions wait for a lock, and for whom; and the same of those whom they wait for, and so on: a session of
   * somebody else may stand between two of ours. Others may be listed too. One cheap question, and it takes no lock itself.
   *
   * @param sessions as `Branch.sessionId` names them
   * @throws ResourceUnavailableError, also when the user may not look
   */
  list(sessions: readonly string[]): Promise<readonly LockWait[]>

  /**
   * Ends the statement that waits, if it is still that same wait. Its transaction can then only be rolled back. It may come late, and
   * then meets whatever the session does by then: so the session must have no other use (`Branch.closeAtEnd`).
   *
   * @returns whether it was still waiting and was told to end
   * @throws ResourceUnavailableError, also when the user may not end it
   */
  cancel(wait: LockWait): Promise<boolean>
}

/** One session that waits for a lock. */
export interface LockWait {
  readonly session: string
  /** Names this wait, and no other one before or after it in the same session. */
  readonly wait: string
  /** The sessions that it waits for. Left out: prepared branches, which have no session. */
  readonly blockers: readonly string[]
}

/** Session numbers go into a statement as they are, so nothing else may be among them. */
export function sessionNumbers(sessions: readonly string[]): readonly number[] {
  return sessions.map(Number).filter((number) => Number.isSafeInteger(number) && number > 0)
}

/** A question to a database about waits must not take long: others wait for the answer. Milliseconds. */
export const LOOK_MS_MAX = 2_000
