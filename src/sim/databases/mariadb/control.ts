import type { Xid } from './xa.ts'

/** Statements that steer transactions and sessions. */
export type Control =
  | { readonly kind: 'begin' | 'commit' | 'rollback' }
  | { readonly kind: 'savepoint' | 'rollbackTo' | 'release'; readonly name: string }
  | { readonly kind: 'xaStart' | 'xaEnd' | 'xaPrepare'; readonly xid: Xid }
  | { readonly kind: 'xaSettle'; readonly verb: 'COMMIT' | 'ROLLBACK'; readonly xid: Xid; readonly onePhase: boolean }
  | { readonly kind: 'xaRecover' }
  | { readonly kind: 'sleep'; readonly ms: number }
  | { readonly kind: 'variables' }

type Maker = (match: RegExpExecArray) => Control

const XID = String.raw`'([^']*)'(?:\s*,\s*'([^']*)'(?:\s*,\s*(\d+))?)?`

const FORMS: readonly (readonly [RegExp, Maker])[] = [
  [new RegExp(`^xa\\s+(?:start|begin)\\s+${XID}$`, 'i'), (match) => ({ kind: 'xaStart', xid: xidOf(match, 1) })],
  [new RegExp(`^xa\\s+end\\s+${XID}$`, 'i'), (match) => ({ kind: 'xaEnd', xid: xidOf(match, 1) })],
  [new RegExp(`^xa\\s+prepare\\s+${XID}$`, 'i'), (match) => ({ kind: 'xaPrepare', xid: xidOf(match, 1) })],
  [
    new RegExp(`^xa\\s+(commit|rollback)\\s+${XID}(\\s+one\\s+phase)?$`, 'i'),
    (match) => ({
      kind: 'xaSettle',
      verb: match[1]!.toUpperCase() as 'COMMIT' | 'ROLLBACK',
      xid: xidOf(match, 2),
      onePhase: match[5] !== undefined,
    }),
  ],
  [/^xa\s+recover$/i, () => ({ kind: 'xaRecover' })],
  [/^(?:begin|start\s+transaction)(?:\s+work)?$/i, () => ({ kind: 'begin' })],
  [/^commit(?:\s+work)?$/i, () => ({ kind: 'commit' })],
  [/^rollback(?:\s+work)?$/i, () => ({ kind: 'rollback' })],
  [/^savepoint\s+(\w+)$/i, ([, name]) => ({ kind: 'savepoint', name: name! })],
  [/^rollback(?:\s+work)?\s+to(?:\s+savepoint)?\s+(\w+)$/i, ([, name]) => ({ kind: 'rollbackTo', name: name! })],
  [/^release\s+savepoint\s+(\w+)$/i, ([, name]) => ({ kind: 'release', name: name! })],
  [/^select\s+sleep\(([\d.]+)\)$/i, ([, seconds]) => ({ kind: 'sleep', ms: Number(seconds) * 1_000 })],
  [/^show\s+variables\s+like\s+'wsrep_on'$/i, () => ({ kind: 'variables' })],
]

const LEADING = /^(?:\s|--[^\n]*\n|#[^\n]*\n|\/\*[\s\S]*?\*\/)*/

/** Undefined for a statement about rows. */
export function parseControl(text: string): Control | undefined {
  const bare = text.replace(LEADING, '').trimEnd()
  for (const [form, make] of FORMS) {
    const match = form.exec(bare)
    if (match !== null) return make(match)
  }
  return undefined
}

function xidOf(match: RegExpExecArray, at: number): Xid {
  return { gtrid: match[at] ?? '', bqual: match[at + 1] ?? '', formatId: Number(match[at + 2] ?? 1) }
}
