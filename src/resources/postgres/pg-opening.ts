import type { PgConnectionShape, PgQueryShape } from './pg-shapes.ts'

/**
 * Makes `query` carry the statements that begin the branch, in the same round trip.
 *
 * They share one Sync with the query (or one simple-query text), so the server skips the query when one of them fails:
 * sent as messages of their own, a BEGIN hit by a stray cancel would leave the query to commit by itself.
 */
export function openWith(query: PgQueryShape, statements: readonly string[]): void {
  let toSkip = statements.length
  const { name } = query
  const prefix = `${statements.join('; ')}; `
  const submit = query.submit.bind(query)
  const handleCommandComplete = query.handleCommandComplete.bind(query)
  const handleError = query.handleError.bind(query)
  let connection: PgConnectionShape | undefined

  query.submit = (given) => {
    connection = given
    if (!query.requiresPreparation()) {
      query.text = prefix + query.text
      return submit(given)
    }
    given.stream.cork?.()
    try {
      for (const text of statements) sendUnsynced(given, text)
      return submit(given)
    } finally {
      hideName()
      given.stream.uncork?.()
    }
  }

  // The driver notes "parsed" under the active query's name at each ParseComplete; ours must not count for the query's.
  const hideName = (): void => {
    if (name !== undefined) Object.defineProperty(query, 'name', { get: () => (toSkip > 0 ? undefined : name) })
  }

  query.handleCommandComplete = (message, given) => {
    if (toSkip > 0) toSkip -= 1
    else handleCommandComplete(message, given)
  }

  query.handleError = (error, given) => {
    if (toSkip > 0 && name !== undefined && connection !== undefined) delete connection.submittedNamedStatements?.[name]
    unshiftPosition(error, query.requiresPreparation() ? 0 : prefix.length)
    handleError(error, given)
  }
}

function sendUnsynced(connection: PgConnectionShape, text: string): void {
  connection.parse({ text })
  connection.bind({})
  connection.execute({ portal: '' })
}

/** A syntax error's position counts from the text's beginning; the application wrote only what follows the prefix. */
function unshiftPosition(error: unknown, by: number): void {
  const located = error as { position?: string }
  if (by > 0 && typeof located.position === 'string') located.position = String(Number(located.position) - by)
}
