/** What a key may hold. A number is finite; -0 is stored as 0. */
export type KvValue = string | number | Uint8Array

/** Whether two values are the same: of one type, with one content. Absence equals absence. */
export function sameValue(a: KvValue | undefined, b: KvValue | undefined): boolean {
  if (!(a instanceof Uint8Array) || !(b instanceof Uint8Array)) return a === b
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}

/** A text of a value: the same for the same values, and only for them. */
export function valueText(value: KvValue): string {
  if (value instanceof Uint8Array) return `b${Buffer.from(value).toString('latin1')}`
  // 0 and -0 are the same.
  return typeof value === 'number' ? `n${value === 0 ? 0 : value}` : `t${value}`
}

/** A value in a message: short, and never more than a line. */
export function describe(value: KvValue | undefined): string {
  if (value === undefined) return 'nothing'
  if (value instanceof Uint8Array) return `${value.length} bytes`
  if (typeof value === 'number') return String(value)
  return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
}
