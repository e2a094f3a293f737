/**
 * The root of every error that concordat throws on purpose.
 *
 * `code` is stable and documented in docs/reference/errors.md (a test proves that both lists are equal);
 * `retryable` says whether the same call may succeed later without a change by the caller.
 * A message says what happened, what it means and what to do next.
 */
export abstract class ConcordatError extends Error {
  abstract readonly code: string
  readonly retryable: boolean = false

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** Whatever was thrown, as an Error: people throw strings. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
