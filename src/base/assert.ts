/** Thrown when an invariant does not hold. Never caught: the process must stop, because its state can't be trusted. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
  readonly code = 'INVARIANT_BROKEN'
}

/**
 * States what must hold here. Stays on in production: a coordinator that is wrong must stop, not go on.
 *
 * @example
 * assert(index <= lastIndex, 'an index beyond the log cannot commit')
 * @throws InvariantError when `condition` is false
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message)
}

/** The end of an exhaustive switch: compiles only when every kind has its case. */
export function unreachable(value: never): never {
  throw new InvariantError(`a value of an unknown kind came here: ${JSON.stringify(value)}`)
}
