import type { BranchGuard } from '../guard.ts'
import { openWith } from './pg-opening.ts'
import type { PgClientShape, PgQueryClass, PgQueryShape, PgResultShape } from './pg-shapes.ts'

/** How the branch begins together with the first statement. */
export interface Opening {
  readonly Query: PgQueryClass
  readonly statements: readonly string[]
  readonly onSent: () => void
}

type Callback = (error: unknown, result?: PgResultShape | PgResultShape[]) => void

const OWNED = new Set<PropertyKey>(['release', 'end', 'connect'])

/**
 * The application's view of a pg client in a branch: the client itself, except that `query` reports to the guard, and
 * that the session can't be given away.
 *
 * @param opening undefined when the branch has begun already
 */
export function guardPgClient(client: PgClientShape, guard: BranchGuard, opening: Opening | undefined): PgClientShape {
  const statements = new Statements(client, guard, opening)
  const query = (...args: unknown[]): unknown => statements.query(args)
  return new Proxy(client, {
    get(target, key) {
      if (key === 'query') return query
      if (OWNED.has(key)) return () => guard.refuseCall('client', String(key))
      const value = Reflect.get(target, key, target) as unknown
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

class Statements {
  readonly #client: PgClientShape
  readonly #guard: BranchGuard
  readonly #send: (...args: unknown[]) => unknown
  #opening: Opening | undefined
  /** While the first statement is under way. */
  #opened: Promise<boolean> | undefined

  constructor(client: PgClientShape, guard: BranchGuard, opening: Opening | undefined) {
    this.#client = client
    this.#guard = guard
    this.#opening = opening
    this.#send = (client.query as (...args: unknown[]) => unknown).bind(client)
  }

  query(args: unknown[]): unknown {
    const [config] = args
    const refusal = this.#guard.admit(textOf(config))
    if (isSubmittable(config)) return this.#submit(config, args, refusal)
    const callback = args.find((arg) => typeof arg === 'function') as Callback | undefined
    const rest = args.filter((arg) => arg !== callback)
    const result = refusal === undefined ? this.#run(rest) : Promise.reject(refusal)
    if (callback === undefined) return result
    result.then(
      (value) => callback(null, value as PgResultShape),
      (error) => callback(error),
    )
    return undefined
  }

  async #run(args: unknown[]): Promise<unknown> {
    this.#guard.started()
    try {
      const result = (await (this.#isFirst() ? this.#runFirst(args) : this.#runLater(args))) as PgResultShape
      this.#guard.succeeded((Array.isArray(result) ? result : [result]).map(({ command }) => command))
      return result
    } catch (error) {
      this.#guard.failed(error)
      throw error
    }
  }

  #isFirst(): boolean {
    return this.#opening !== undefined
  }

  #runFirst([config, values]: unknown[]): Promise<unknown> {
    const opening = this.#opening!
    this.#opening = undefined
    const result = new Promise((resolve, reject) => {
      const query = new opening.Query(config, values, (error: unknown, answer: unknown) =>
        error ? reject(error) : resolve(answer),
      )
      openWith(query, opening.statements)
      opening.onSent()
      this.#send(query)
    })
    // A syntax error in a simple-query text means that not even BEGIN was carried out, so nothing may follow it.
    this.#opened = result.then(
      () => true,
      () => false,
    )
    return result
  }

  async #runLater(args: unknown[]): Promise<unknown> {
    if (this.#opened !== undefined && !(await this.#opened)) throw this.#guard.poisonedBy
    return this.#send(...args)
  }

  /** Cursors, streams and ready-made Query objects: they send themselves, so we listen to what they hear. */
  #submit(config: PgQueryShape, args: unknown[], refusal: Error | undefined): unknown {
    if (refusal !== undefined) {
      process.nextTick(() => config.handleError(refusal, this.#client.connection))
      return config
    }
    this.#guard.started()
    this.#guard.succeeded()
    const handleError = config.handleError.bind(config)
    config.handleError = (error, connection) => {
      this.#guard.poison(error)
      handleError(error, connection)
    }
    void this.#submitInBranch(config, args)
    return config
  }

  async #submitInBranch(config: PgQueryShape, args: unknown[]): Promise<void> {
    try {
      if (this.#isFirst()) await this.#run(['SELECT'])
      await this.#runLater(args)
    } catch (error) {
      config.handleError(error, this.#client.connection)
    }
  }
}

export function isSubmittable(config: unknown): config is PgQueryShape {
  return typeof (config as { submit?: unknown } | null)?.submit === 'function'
}

export function textOf(config: unknown): string | undefined {
  if (typeof config === 'string') return config
  const text = (config as { text?: unknown } | null)?.text
  return typeof text === 'string' ? text : undefined
}
