import { AsyncLocalStorage } from 'node:async_hooks'
import type { Txid } from '../../base/index.ts'
import type { Resource } from '../resource.ts'

/** The running transaction, as plain calls of a resource see it from wherever in its callback they are made. */
export interface AmbientTransaction {
  readonly txid: Txid
  /** What `currentTransaction()` returns; undefined once it is over. */
  readonly transaction: object | undefined
  /** The resource's session in this transaction; the first call opens the branch. @throws TransactionEndedError when it is over */
  enlist<Session>(resource: Resource<Session>): Promise<Session>
  /**
   * Notes that work in the resource of this name has begun. Until the returned function is called the transaction won't
   * commit: work that nobody awaited is work half done.
   *
   * @throws TransactionEndedError when it is over
   */
  started(resource: string): () => void
}

/** `outside` was asked for by name; it differs from no transaction at all in that a query made so stays so. */
type Ambience = AmbientTransaction | 'outside'

/**
 * One for the process, even where it has two copies of this package (two versions, or one imported and one required): were
 * each copy to have its own, a query through the one would not see the transaction of the other, and would commit by itself.
 * The number is that of `AmbientTransaction`'s shape.
 */
const KEY = Symbol.for('concordat.ambient.1')
const shared = globalThis as { [KEY]?: AsyncLocalStorage<Ambience | undefined> }
shared[KEY] ??= new AsyncLocalStorage()
const storage = shared[KEY]

/** What surrounds this call: a transaction (perhaps one that is over), `outside`, or nothing. */
export function ambience(): Ambience | undefined {
  return storage.getStore()
}

/** The transaction around this call, also when it is over already: then it refuses, and nothing runs outside by accident. */
export function ambientTransaction(): AmbientTransaction | undefined {
  const found = storage.getStore()
  return found === 'outside' ? undefined : found
}

/** Runs `work` within `transaction`. */
export function within<T>(transaction: AmbientTransaction, work: () => T | PromiseLike<T>): Promise<T> {
  return storage.run(transaction, () => started(work))
}

/** Calls `work` within `transaction`, as it is: for whoever goes on in a callback. */
export function calledWithin<T>(transaction: AmbientTransaction, work: () => T): T {
  return storage.run(transaction, work)
}

/**
 * Runs `work` outside of any transaction: what it does through a resource's plain calls is ordinary, commits by itself, and
 * stays when the transaction around it is rolled back. For an audit log, for example.
 *
 * @returns what `work` returns; a query that is only sent when it is awaited (Knex, Drizzle, postgres.js) is sent here
 * @example
 * await outside(() => flights.query('insert into audit (what) values ($1)', ['tried']))
 */
export function outside<T>(work: () => T | PromiseLike<T>): Promise<T> {
  return storage.run('outside', () => started(work))
}

/**
 * Calls `work` without the surrounding transaction, for what outlives it: a connection that is opened now keeps the context of
 * this moment for all of its life.
 */
export function detached<T>(work: () => T): T {
  return storage.run(undefined, work)
}

/** Sends what `work` returns, too: a lazy query takes its context from whoever calls its `then`. */
async function started<T>(work: () => T | PromiseLike<T>): Promise<T> {
  const value = work()
  if (!isThenable(value)) return value
  return new Promise<T>((resolve, reject) => value.then(resolve, reject))
}

function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}
