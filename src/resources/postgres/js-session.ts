import type { BranchGuard } from '../guard.ts'
import type { JsHandler, JsQueryShape, JsReservedShape } from './js-shapes.ts'

const OWNED = new Set<PropertyKey>(['release', 'end', 'close', 'begin', 'reserve', 'notify', 'listen', 'subscribe'])
const QUERYING = new Set<PropertyKey>(['unsafe', 'file'])

/**
 * The application's view of a reserved postgres.js function: the same tag function, whose queries report to the guard.
 *
 * @param lost tells whether the connection is gone; then nothing may be sent (see JsSession)
 */
export function guardSql(sql: JsReservedShape, guard: BranchGuard, lost: () => Error | undefined): JsReservedShape {
  const handlers = new WeakMap<JsHandler, JsHandler>()
  const guarded = (made: unknown): unknown => {
    if (!isQuery(made)) return made
    const handler = made.handler
    let ours = handlers.get(handler)
    if (ours === undefined) {
      ours = guardHandler(handler, guard, lost)
      handlers.set(handler, ours)
    }
    made.handler = ours
    return made
  }
  return new Proxy(sql, {
    apply: (target, self, args) => guarded(Reflect.apply(target, self, args)),
    get(target, key) {
      if (OWNED.has(key)) return () => guard.refuseCall('sql', String(key))
      const value = Reflect.get(target, key, target) as unknown
      if (!QUERYING.has(key)) return value
      return (...args: unknown[]) => guarded((value as (...args: unknown[]) => unknown)(...args))
    },
  })
}

/** Sees every query in the moment it is sent, and its result or error. */
function guardHandler(handler: JsHandler, guard: BranchGuard, lost: () => Error | undefined): JsHandler {
  const ours: JsHandler = (query) => {
    const refusal = guard.admit(query.strings[0]) ?? lost()
    if (refusal !== undefined) return query.reject(refusal)
    const { resolve, reject } = query
    guard.started()
    query.resolve = (result) => {
      guard.succeeded(commandsOf(result))
      resolve(result)
    }
    query.reject = (error) => {
      guard.failed(error)
      reject(error)
    }
    handler(query)
  }
  ours.debug = handler.debug
  return ours
}

export function isQuery(made: unknown): made is JsQueryShape {
  return typeof (made as { handler?: unknown } | null)?.handler === 'function'
}

function commandsOf(result: unknown): string[] {
  const results = Array.isArray(result) && Array.isArray(result[0]) && 'command' in result[0] ? result : [result]
  return results.map((one) => String((one as { command?: unknown } | undefined)?.command))
}
