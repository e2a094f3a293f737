import { describe, type KvValue, sameValue, valueText } from './value.ts'

/** What must be true of all keys that begin with `prefix`, after each transaction. */
export type Rule =
  /** They hold numbers, and none below zero. */
  | { readonly kind: 'notBelowZero'; readonly prefix: string }
  /** No two of them hold the same value. */
  | { readonly kind: 'unique'; readonly prefix: string }

/** What a transaction does to one key. Undefined: there is nothing. */
export interface Write {
  readonly key: string
  readonly before: KvValue | undefined
  readonly after: KvValue | undefined
}

/** What a compare-and-set expected of a key, and what it found there with the key locked. */
export interface Expectation {
  readonly key: string
  readonly expected: KvValue | undefined
  readonly found: KvValue | undefined
}

/** Why a branch votes abort. */
export interface Violation {
  readonly reason: 'notBelowZero' | 'compareAndSet' | 'unique'
  readonly key: string
  readonly message: string
}

/** All that the rules are held against. At most one write names a key. */
export interface Proposal {
  readonly writes: readonly Write[]
  readonly expectations: readonly Expectation[]
}

/** A value that a key of a unique rule holds: an entry of that rule's index. */
export interface UniqueEntry {
  readonly prefix: string
  readonly value: KvValue
  readonly key: string
}

/** Which key holds the value now, by the index of the unique rule of this prefix. */
export type OwnerOf = (prefix: string, value: KvValue) => string | undefined

/**
 * The first constraint that a transaction would break, if it committed now; undefined when it may. What counts is the
 * state that it leaves: in between it may have broken what it mended, such as two keys that swap unique values.
 *
 * @example
 * const writes = [{ key: 'stock/7', before: 1, after: -1 }]
 * findViolation([{ kind: 'notBelowZero', prefix: 'stock/' }], { writes, expectations: [] }, () => undefined)?.reason
 * // → 'notBelowZero'
 */
export function findViolation(rules: readonly Rule[], proposal: Proposal, ownerOf: OwnerOf): Violation | undefined {
  return (
    proposal.expectations.map(unmet).find((violation) => violation !== undefined) ??
    belowZero(rules, proposal.writes) ??
    notUnique(rules, proposal.writes, ownerOf)
  )
}

/** How the indexes of the unique rules change with these writes. An entry may be in both: then it changes its key, or stays. */
export function uniqueChanges(
  rules: readonly Rule[],
  writes: readonly Write[],
): { readonly removed: readonly UniqueEntry[]; readonly added: readonly UniqueEntry[] } {
  const entries = (pick: (write: Write) => KvValue | undefined): UniqueEntry[] =>
    matching(rules, 'unique', writes).flatMap(([{ prefix }, write]) => {
      const value = pick(write)
      return value === undefined ? [] : [{ prefix, value, key: write.key }]
    })
  return { removed: entries(({ before }) => before), added: entries(({ after }) => after) }
}

function unmet({ key, expected, found }: Expectation): Violation | undefined {
  if (sameValue(expected, found)) return undefined
  const message = `${key} should hold ${describe(expected)} and holds ${describe(found)}`
  return { reason: 'compareAndSet', key, message }
}

function belowZero(rules: readonly Rule[], writes: readonly Write[]): Violation | undefined {
  for (const [, { key, after }] of matching(rules, 'notBelowZero', writes)) {
    if (after === undefined || (typeof after === 'number' && after >= 0)) continue
    const message = `${key} would hold ${describe(after)}, and must hold a number that is not below zero`
    return { reason: 'notBelowZero', key, message }
  }
  return undefined
}

function notUnique(rules: readonly Rule[], writes: readonly Write[], ownerOf: OwnerOf): Violation | undefined {
  const written = new Map(writes.map((write) => [write.key, write]))
  const { added } = uniqueChanges(rules, writes)
  const keyOf = new Map<string, string>()
  for (const { prefix, value, key } of added) {
    // No prefix has a zero in it, so no two entries share a name.
    const name = `${prefix}\0${valueText(value)}`
    const owner = ownerOf(prefix, value)
    // An owner that this transaction writes gives the value up, or is found as a twin.
    const other = keyOf.get(name) ?? (owner === undefined || written.has(owner) ? undefined : owner)
    keyOf.set(name, key)
    // Two rules may be of the same prefix.
    if (other === undefined || other === key) continue
    const message = `${key} would hold ${describe(value)}, which ${other} holds already`
    return { reason: 'unique', key, message }
  }
  return undefined
}

function matching(rules: readonly Rule[], kind: Rule['kind'], writes: readonly Write[]): (readonly [Rule, Write])[] {
  return rules
    .filter((rule) => rule.kind === kind)
    .flatMap((rule) => writes.filter(({ key }) => key.startsWith(rule.prefix)).map((write) => [rule, write] as const))
}
