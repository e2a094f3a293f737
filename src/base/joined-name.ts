/** What the names of joined databases begin with. Services and databases may not be called so. */
const JOINED = /^joined\.[0-9a-f]{12}\.(.+)$/

/** The longest name of a database in which a called service can join: the whole name has 64 characters. */
export const JOINED_RESOURCE_CHARACTERS_MAX = 44

/**
 * The name under which one process takes part in the transactions of others with one of its databases. It dies with the
 * process: only that life of it holds the sessions of its branches, so nobody else may be asked for their votes.
 *
 * @param instance 12 hex digits, drawn at random at each start
 * @param resource the database's name
 */
export function joinedName(instance: string, resource: string): string {
  return `joined.${instance}.${resource}`
}

/** The database in which a participant of this name has its branches; undefined when it is no joined one. */
export function resourceOfJoined(participant: string): string | undefined {
  return JOINED.exec(participant)?.[1]
}
