import { AsyncResource } from 'node:async_hooks'

// biome-ignore lint/suspicious/noExplicitAny: methods are handed through as they are
export type Method = (...args: any[]) => any

/** What a facade has of its own, in place of what it stands for has. */
export type Own = Readonly<Record<string, unknown>>

/**
 * An object that stands for `target`: the same in every respect (`instanceof` too), except for what is in `own`. What is set
 * on it stays with it: ORMs leave marks on the connections that they take, and these are not theirs.
 */
export function facade<T extends object>(target: T, own: Own): T {
  const marks: Record<PropertyKey, unknown> = {}
  return new Proxy(target, {
    get(_target, key) {
      if (Object.hasOwn(marks, key)) return marks[key]
      if (typeof key === 'string' && Object.hasOwn(own, key)) return own[key]
      return bound(target, key)
    },
    set(_target, key, value) {
      marks[key] = value
      return true
    },
    has: (_target, key) => Object.hasOwn(marks, key) || Reflect.has(target, key),
    deleteProperty: (_target, key) => delete marks[key],
  })
}

/** A property of `target`; its methods work on itself, whatever they are called on. */
export function bound(target: object, key: PropertyKey): unknown {
  const value = Reflect.get(target, key, target) as unknown
  return typeof value === 'function' && !isClass(value) ? value.bind(target) : value
}

/**
 * Calls `work` with the arguments before the callback, and the callback with what comes of it, in its caller's context;
 * without one, returns that.
 *
 * @param spread makes the callback's arguments of the result
 */
export function calling(
  args: readonly unknown[],
  work: (...args: unknown[]) => Promise<unknown>,
  spread: (result: unknown) => readonly unknown[] = (result) => [result],
): unknown {
  const callback = callbackOf(args)
  if (callback === undefined) return work(...args)
  work(...args.filter((arg) => arg !== callback)).then(
    (result) => process.nextTick(callback, null, ...spread(result)),
    (error) => process.nextTick(callback, error),
  )
  return undefined
}

/**
 * The arguments, with the callback among them bound to its caller's context: a driver would call it in that of the connection,
 * which may be another transaction's.
 */
export function inContext(args: readonly unknown[]): readonly unknown[] {
  const callback = callbackOf(args)
  return callback === undefined ? args : args.map((arg) => (arg === callback ? AsyncResource.bind(callback) : arg))
}

export function callbackOf(args: readonly unknown[]): Method | undefined {
  const last = args.at(-1)
  return typeof last === 'function' ? (last as Method) : undefined
}

function isClass(value: object): boolean {
  return Object.getOwnPropertyDescriptor(value, 'prototype')?.writable === false
}
