import type { BranchGuard } from '../guard.ts'
import type { CoreConnectionShape } from './shapes.ts'

// biome-ignore lint/suspicious/noExplicitAny: methods are handed through as they are
type Method = (...args: any[]) => any

/** What would end the branch or give its session away. */
const OWNED = new Set<PropertyKey>(
  'beginTransaction commit rollback release end close destroy changeUser reset connect'.split(' '),
)

/** The application's view of a promise connection in a branch. */
export function guardPromises<C extends object>(connection: C, guard: BranchGuard): C {
  return proxy(connection, guard, {
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
  return proxy(connection, guard, {
    query:
      (method) =>
      (...args) =>
        callGuarded(guard, method, args),
    execute:
      (method) =>
      (...args) =>
        callGuarded(guard, method, args),
    prepare:
      (method) =>
      (...args) =>
        callGuarded(guard, method, args),
    promise:
      (method) =>
      (...args) =>
        guardPromises(method(...args) as object, guard),
  })
}

function guardPrepared(statement: object, guard: BranchGuard): object {
  return new Proxy(statement, {
    get(target, key) {
      const value = bound(target, key)
      if (key !== 'execute') return value
      return (...args: unknown[]) => runGuarded(guard, undefined, () => (value as Method)(...args))
    },
  })
}

type Wrappers = Readonly<Record<string, (method: Method) => Method>>

function proxy<C extends object>(connection: C, guard: BranchGuard, wrappers: Wrappers): C {
  return new Proxy(connection, {
    get(target, key) {
      if (OWNED.has(key)) return (...args: unknown[]) => refuse(guard, String(key), args)
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

function textOf(given: unknown): string | undefined {
  if (typeof given === 'string') return given
  const sql = (given as { sql?: unknown } | null)?.sql
  return typeof sql === 'string' ? sql : undefined
}
