import type { Clock } from '../../base/index.ts'
import { type AmbientTransaction, ambience, ambientTransaction } from '../ambient/context.ts'
import { bound, type Method, type Own } from '../ambient/facade.ts'
import type { Lease } from '../ambient/lease.ts'
import { Lending, type Lent } from '../ambient/lending.ts'
import { BranchStatementRefusedError } from '../errors.ts'
import type { Resource } from '../resource.ts'
import { isQuery } from './js-session.ts'
import type { JsHandler, JsQueryShape, JsReservedShape } from './js-shapes.ts'

/** How a session sends a query: its handler, which for `file` knows the path. */
type HandlerOf = (session: JsReservedShape) => JsHandler

/** Who sends the queries of a tag function. `undefined` leaves a query to the function that made it. */
type Sender = (handlerOf: HandlerOf) => JsHandler | undefined

type Made = (...args: unknown[]) => unknown

/**
 * A postgres.js `sql` function whose queries, `begin` and `reserve` work in the transaction around the call. Outside of one
 * it is the function itself.
 *
 * @param resource the same function's
 */
export function ambientSql<Sql extends object>(sql: Sql, resource: Resource<unknown>, clock: Clock): Sql {
  const lending = new Lending<JsReservedShape>({
    resource: resource as Resource<JsReservedShape>,
    clock,
    send: async (session, text) => session.unsafe(text, [], { onexecute: () => true }),
    nothing: [],
  })
  const sendIn =
    (tx: AmbientTransaction, handlerOf: HandlerOf): JsHandler =>
    (query) =>
      void sendOnce(query, tx, resource.name, () => lending.lend(tx), handlerOf)
  const plain = sql as unknown as Record<'begin' | 'reserve' | 'notify', Method>
  const own: Own = {
    begin: async (...args: unknown[]) => {
      const tx = ambientTransaction()
      if (tx === undefined) return plain.begin(...args)
      if (args.length > 1) throw new BranchStatementRefusedError('sql.begin() with options')
      return nested(sql, tx, resource.name, await lending.lend(tx), args[0] as Made)
    },
    reserve: async () => {
      const tx = ambientTransaction()
      if (tx === undefined) return plain.reserve()
      const lent = await lending.lend(tx)
      return tagged(sql, senderOver(tx, resource.name, lent), { release: () => lent.lease.release() })
    },
    // It is a query of its own, which PostgreSQL would not prepare.
    notify: (...args: unknown[]) =>
      ambientTransaction() === undefined
        ? plain.notify(...args)
        : Promise.reject(new BranchStatementRefusedError('sql.notify()')),
  }
  return tagged(
    sql,
    (handlerOf) => {
      // Where a query was made counts, not where it is awaited; made before the transaction, where it is awaited.
      const made = ambience()
      if (made === 'outside') return undefined
      return made === undefined ? undefined : sendIn(made, handlerOf)
    },
    own,
    (handlerOf, query) => {
      const tx = ambientTransaction()
      if (tx === undefined) return false
      sendIn(tx, handlerOf)(query)
      return true
    },
  )
}

/**
 * The tag function `sql` with another sender.
 *
 * @param later asked in the moment of sending when `sender` left the query alone and nobody wanted it outside
 */
function tagged<Sql extends object>(
  sql: Sql,
  sender: Sender,
  own: Own,
  later?: (handlerOf: HandlerOf, query: JsQueryShape) => boolean,
): Sql {
  const adopt = (made: unknown, handlerOf: HandlerOf): unknown => {
    if (!isQuery(made)) return made
    const original = made.handler
    const chosen = sender(handlerOf)
    if (chosen === undefined && (later === undefined || ambience() === 'outside')) return made
    const ours: JsHandler = chosen ?? ((query) => later!(handlerOf, query) || original(query))
    ours.debug = original.debug
    made.handler = ours
    return made
  }
  const usual: HandlerOf = (session) =>
    (session.unsafe('', [], { onexecute: () => true }) as unknown as JsQueryShape).handler
  return new Proxy(sql, {
    apply: (target, self, args) => adopt(Reflect.apply(target as unknown as Made, self, args), usual),
    get(target, key) {
      if (typeof key === 'string' && Object.hasOwn(own, key)) return own[key]
      const value = Reflect.get(target, key, target) as unknown
      if (key === 'unsafe') return (...args: unknown[]) => adopt((value as Made)(...args), usual)
      if (key === 'file') {
        const handlerOf: (args: unknown[]) => HandlerOf = (args) => (session) =>
          ((session as unknown as Record<'file', Made>).file(...args) as JsQueryShape).handler
        return (...args: unknown[]) => adopt((value as Made)(...args), handlerOf(args))
      }
      return typeof value === 'function' && key !== 'options' ? bound(target, key) : value
    },
  })
}

/** Sends everything through one lease. */
function senderOver(tx: AmbientTransaction, resource: string, lent: Lent<JsReservedShape>): Sender {
  return (handlerOf) => (query) => void sendOnce(query, tx, resource, async () => lent, handlerOf)
}

/** Sends a query in a branch, and settles it with what comes of that. Never rejects. */
async function sendOnce(
  query: JsQueryShape,
  tx: AmbientTransaction,
  resource: string,
  lend: () => Promise<Lent<JsReservedShape>>,
  handlerOf: HandlerOf,
): Promise<void> {
  const { resolve, reject } = query
  let done = (): void => {}
  try {
    done = tx.started(resource)
    const { session, lease } = await lend()
    const result = await lease.run(query.strings[0], () => answered(query, () => handlerOf(session)(query)))
    done()
    resolve(result)
  } catch (error) {
    done()
    reject(error)
  }
}

/** What the query is settled with, before it is: then the transaction knows first that nothing is under way. */
function answered(query: JsQueryShape, send: () => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    // In a box: a result of a query is a thenable in some drivers' modes, and must come out as it is.
    query.resolve = resolve
    query.reject = reject
    send()
  })
}

/** What `sql.begin` is inside a transaction: a savepoint. */
async function nested(
  sql: object,
  tx: AmbientTransaction,
  resource: string,
  lent: Lent<JsReservedShape>,
  work: Made,
): Promise<unknown> {
  const { lease } = lent
  const scope: object = tagged(sql, senderOver(tx, resource, lent), {
    savepoint: (...args: unknown[]) => savepoint(lease, lent.session, scope, args.at(-1) as Made),
    begin: () => Promise.reject(new BranchStatementRefusedError('sql.begin() inside sql.begin()')),
  })
  await lease.begin()
  let result: unknown
  try {
    result = await resultOf(work(scope))
  } catch (error) {
    await lease.rollback()
    throw error
  }
  await lease.commit()
  return result
}

async function savepoint(lease: Lease, session: JsReservedShape, scope: object, work: Made): Promise<unknown> {
  const run = (text: string): Promise<unknown> =>
    lease.run(text, async () => session.unsafe(text, [], { onexecute: () => true }))
  const name = lease.nextName()
  await run(`SAVEPOINT ${name}`)
  try {
    return await resultOf(work(scope))
  } catch (error) {
    await run(`ROLLBACK TO SAVEPOINT ${name}`)
    throw error
  }
}

function resultOf(given: unknown): Promise<unknown> {
  return Promise.resolve(Array.isArray(given) ? Promise.all(given) : given)
}
