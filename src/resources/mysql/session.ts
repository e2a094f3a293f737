import type { BranchGuard } from '../guard.ts'
import type { CoreConnectionShape } from './shapes.ts'

// biome-ignore lint/suspicious/noExplicitAny: methods are handed through as they are
type Method = (...args: any[]) => any

/** What would end the branch or give its session away. */
const OWNED = new Set<PropertyKey>(
  'beginTransaction commit rollback release end close destroy changeUser reset connect'.split(' '),
)

/** The application's view of a promise connection in a branch. Its raw `connection` is guarded too. */
export function guardPromises<C extends object>(connection: C, guard: BranchGuard): C {
  const inner = (connection as { connection?: CoreConnectionShape }).connection
  const parts = inner === undefined ? {} : { connection: guardCallbacks(inner, guard) }
  return proxy(connection, guard, parts, {
    query:
      (method) =>
      (...args) =>
        runGuarded(guard, textOf(args[0]), () => method(...args)),
    execute:
      (method) =>
      (...args) =>
        runGuarded(guard, textOf(args[0]), () => method(...args)),
    prepare:
      (method) =>
      async (...args) => {
        const statement = (await runGuarded(guard, textOf(args[0]), () => method(...args))) as object
        return guardPrepared(statement, guard)
      },
  })
}

/** The application's view of a callback connection in a branch. Its `promise()` is guarded too. */
export function guardCallbacks(connection: CoreConnectionShape, guard: BranchGuard): CoreConnectionShape {
  const call: Wrapper =
    (method) =>
    (...args) =>
      callGuarded(guard, method, args)
  return proxy(
    connection,
    guard,
    {},
    {
      query: call,
      execute: call,
      prepare:
        (method) =>
        (...args) =>
          callGuarded(guard, method, guardingStatement(guard, args)),
      promise:
        (method) =>
        (...args) =>
          guardPromises(method(...args) as object, guard),
    },
  )
}

function guardPrepared(statement: object, guard: BranchGuard): object {
  return withExecute(
    statement,
    (execute) =>
      (...args) =>
        runGuarded(guard, undefined, () => execute(...args)),
  )
}

/** The arguments of a callback connection's `prepare`, with a callback that gets a guarded statement. */
function guardingStatement(guard: BranchGuard, args: unknown[]): unknown[] {
  const callback = args.at(-1)
  if (typeof callback !== 'function') return args
  const guardStatement = (statement: object): object =>
    withExecute(
      statement,
      (execute) =>
        (...given) =>
          callGuarded(guard, execute, given),
    )
  const taking: Method = (error, statement, ...rest) =>
    callback(error, statement === undefined ? undefined : guardStatement(statement), ...rest)
  return [...args.slice(0, -1), taking]
}

function withExecute(statement: object, wrap: Wrapper): object {
  return new Proxy(statement, {
    get(target, key) {
      const value = bound(target, key)
      return key === 'execute' ? wrap(value as Method) : value
    },
  })
}

type Wrapper = (method: Method) => Method
type Wrappers = Readonly<Record<string, Wrapper>>

/** @param parts what stands in for properties of the connection */
function proxy<C extends object>(
  connection: C,
  guard: BranchGuard,
  parts: Readonly<Record<string, unknown>>,
  wrappers: Wrappers,
): C {
  return new Proxy(connection, {
    get(target, key) {
      if (OWNED.has(key)) return (...args: unknown[]) => refuse(guard, String(key), args)
      if (typeof key === 'string' && Object.hasOwn(parts, key)) return parts[key]
      const value = bound(target, key)
      const wrapper = typeof key === 'string' ? wrappers[key] : undefined
      return wrapper === undefined ? value : wrapper(value as Method)
    },
  })
}

function bound(target: object, key: PropertyKey): unknown {
  const value = Reflect.get(target, key, target) as unknown
  return typeof value === 'function' ? value.bind(target) : value
}

/** Refuses in the caller's own style: to its callback where there is one. */
function refuse(guard: BranchGuard, method: string, args: unknown[]): unknown {
  if (typeof args.at(-1) !== 'function') return guard.refuseCall('connection', method)
  return answer(guard.refuse(`connection.${method}()`), args)
}

function answer(error: Error, args: unknown[]): unknown {
  const callback = args.at(-1)
  if (typeof callback !== 'function') return Promise.reject(error)
  process.nextTick(() => callback(error))
  return undefined
}

async function runGuarded(guard: BranchGuard, text: string | undefined, send: () => unknown): Promise<unknown> {
  const refusal = guard.admit(text)
  if (refusal !== undefined) throw refusal
  guard.started()
  try {
    const result = await send()
    guard.succeeded()
    return result
  } catch (error) {
    guard.failed(error)
    throw error
  }
}

function callGuarded(guard: BranchGuard, method: Method, args: unknown[]): unknown {
  const refusal = guard.admit(textOf(args[0]))
  if (refusal !== undefined) return answer(refusal, args)
  guard.started()
  const callback = args.at(-1)
  if (typeof callback === 'function') return method(...args.slice(0, -1), reporting(guard, callback as Method))
  // Without a callback the command is an emitter (streams). It ends after its error.
  const command = method(...args) as { once(event: string, listener: (error?: unknown) => void): unknown }
  command.once('error', (error) => guard.poison(error))
  command.once('end', () => guard.succeeded())
  return command
}

function reporting(guard: BranchGuard, callback: Method): Method {
  let reported = false
  return (error, ...rest) => {
    // Several results of one text call back several times.
    if (!reported) {
      reported = true
      if (error) guard.failed(error)
      else guard.succeeded()
    } else if (error) guard.poison(error)
    callback(error, ...rest)
  }
}

export function textOf(given: unknown): string | undefined {
  if (typeof given === 'string') return given
  const sql = (given as { sql?: unknown } | null)?.sql
  return typeof sql === 'string' ? sql : undefined
}
