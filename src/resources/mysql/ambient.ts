import type { Clock } from '../../base/index.ts'
import { ambientTransaction } from '../ambient/context.ts'
import { callbackOf, calling, facade, inContext, type Method, type Own } from '../ambient/facade.ts'
import type { Lease } from '../ambient/lease.ts'
import { Lending, type Lent } from '../ambient/lending.ts'
import { BranchStatementRefusedError } from '../errors.ts'
import type { Resource } from '../resource.ts'
import { isPromisePool } from './driver.ts'
import { textOf } from './session.ts'
import type { CoreConnectionShape, PromiseConnectionShape } from './shapes.ts'

/** What mysql2 answers: the result, and its columns. */
type Answer = readonly [result: unknown, fields: unknown]

const NOTHING: Answer = [{ affectedRows: 0, insertId: 0, warningStatus: 0 }, undefined]

/** A branch's session: mysql2's connection, of the kind that the pool hands out. */
type Session = PromiseConnectionShape | CoreConnectionShape

type Statement = 'query' | 'execute'

/**
 * A mysql2 pool whose `query`, `execute` and `getConnection` work in the transaction around the call. Outside of one it is
 * the pool itself.
 *
 * @param resource the same pool's
 */
export function ambientMysqlPool<Pool extends object>(pool: Pool, resource: Resource<unknown>, clock: Clock): Pool {
  const lending = new Lending<Session>({
    resource: resource as Resource<Session>,
    clock,
    send: (session, sql) => answered(coreOf(session), 'query', [sql]),
    nothing: NOTHING,
  })
  return isPromisePool(pool) ? promisePool(pool as Pool & typeof pool, lending) : corePool(pool, lending)
}

function promisePool<Pool extends { readonly pool: unknown }>(pool: Pool, lending: Lending<Session>): Pool {
  const plain = pool as unknown as Record<Statement | 'getConnection', Method>
  const statement =
    (method: Statement) =>
    (...args: unknown[]): unknown => {
      const tx = ambientTransaction()
      if (tx === undefined) return plain[method](...args)
      return lending.run(tx, textOf(args[0]), (session) => answered(coreOf(session), method, args))
    }
  const getConnection = async (): Promise<unknown> => {
    const tx = ambientTransaction()
    return tx === undefined ? plain.getConnection() : promiseConnection(await lending.lend(tx))
  }
  const inner = corePool(pool.pool as object, lending)
  return facade(pool, { query: statement('query'), execute: statement('execute'), getConnection, pool: inner })
}

function corePool<Pool extends object>(pool: Pool, lending: Lending<Session>): Pool {
  const plain = pool as unknown as Record<Statement | 'getConnection' | 'promise', Method>
  const statement =
    (method: Statement) =>
    (...args: unknown[]): unknown => {
      const tx = ambientTransaction()
      if (tx === undefined) return plain[method](...inContext(args))
      if (callbackOf(args) === undefined) throw new BranchStatementRefusedError('a stream through the pool')
      const run = (...rest: unknown[]): Promise<unknown> =>
        lending.run(tx, textOf(rest[0]), (session) => answered(coreOf(session), method, rest))
      return calling(args, run, spread)
    }
  const getConnection = (...args: unknown[]): unknown => {
    const tx = ambientTransaction()
    if (tx === undefined) return plain.getConnection(...inContext(args))
    return calling(args, async () => coreConnection(await lending.lend(tx)))
  }
  const promise = (...args: unknown[]): unknown => promisePool(plain.promise(...args) as { pool: unknown }, lending)
  return facade(pool, { query: statement('query'), execute: statement('execute'), getConnection, promise })
}

/** The branch's connection as a promise pool would hand it out. */
function promiseConnection(lent: Lent<Session>): object {
  return facade(promiseOf(lent.session), promises(coreConnection(lent), lent.lease))
}

/** The branch's connection as a callback pool would hand it out. */
function coreConnection({ session, lease }: Lent<Session>): object {
  const core = coreOf(session)
  const statement =
    (method: Statement) =>
    (...args: unknown[]): unknown => {
      if (callbackOf(args) === undefined) {
        // A stream: it can't wait.
        lease.assertFree()
        return (core as unknown as Record<Statement, Method>)[method](...args)
      }
      const run = (...rest: unknown[]): Promise<unknown> =>
        lease.run(textOf(rest[0]), () => answered(core, method, rest))
      return calling(args, run, spread)
    }
  const ending =
    (work: () => Promise<unknown>) =>
    (...args: unknown[]): void => {
      const result = calling(args, work, () => [])
      // Without a callback nobody waits: the next statement, or the transaction's end, says what went wrong.
      if (callbackOf(args) === undefined) (result as Promise<unknown>).catch(() => {})
    }
  const lent: object = facade(core, {
    query: statement('query'),
    execute: statement('execute'),
    beginTransaction: ending(() => lease.begin()),
    commit: ending(() => lease.commit()),
    rollback: ending(() => lease.rollback()),
    ...releasing(lease),
    promise: () => facade(core.promise(), promises(lent, lease)),
  })
  return lent
}

/** The promise methods of a lent connection. */
function promises(core: object, lease: Lease): Own {
  const statement =
    (method: Statement) =>
    (...args: unknown[]): unknown =>
      answered(core, method, args)
  return {
    query: statement('query'),
    execute: statement('execute'),
    beginTransaction: () => lease.begin(),
    commit: () => lease.commit(),
    rollback: () => lease.rollback(),
    ...releasing(lease),
    connection: core,
  }
}

/** A connection that its ORM would close goes back all the same: what is wrong with it, the branch knows by itself. */
function releasing(lease: Lease): Own {
  return { release: () => lease.release(), destroy: () => lease.release() }
}

function answered(connection: object, method: Statement, args: readonly unknown[]): Promise<Answer> {
  return new Promise((resolve, reject) =>
    (connection as Record<Statement, Method>)[method](...args, (error: unknown, result: unknown, fields: unknown) =>
      error ? reject(error) : resolve([result, fields]),
    ),
  )
}

function spread(answer: unknown): Answer {
  return answer as Answer
}

function coreOf(session: Session): CoreConnectionShape {
  return 'connection' in session ? session.connection : session
}

function promiseOf(session: Session): object {
  return 'connection' in session ? session : session.promise()
}
