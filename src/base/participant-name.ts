const NAME = /^[A-Za-z0-9._-]{1,64}$/

/** What a participant's name must be, for error messages. */
export const PARTICIPANT_NAME_RULE = '1 to 64 characters of A-Z a-z 0-9 . _ -'

/** Whether a database or a service may take part under this name. */
export function isParticipantName(name: string): boolean {
  return NAME.test(name)
}
