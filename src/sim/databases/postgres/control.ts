/** Statements that steer transactions and sessions. */
export type Control = (
  | { readonly kind: 'begin' }
  | { readonly kind: 'commit' | 'rollback'; readonly chain: boolean }
  | { readonly kind: 'savepoint' | 'rollbackTo' | 'release'; readonly name: string }
  | { readonly kind: 'prepare'; readonly gid: string }
  | { readonly kind: 'settle'; readonly verb: 'COMMIT' | 'ROLLBACK'; readonly gid: string }
  | { readonly kind: 'set'; readonly isLocal: boolean; readonly name: string; readonly value: string }
  | { readonly kind: 'sleep'; readonly ms: number }
) & {
  /** It is heard in a failed block too. */
  readonly mayEndFailed: boolean
}

type Maker = (match: RegExpExecArray) => Control

const FORMS: readonly (readonly [RegExp, Maker])[] = [
  [/^(?:begin|start\s+transaction)(?:\s+(?:work|transaction))?$/i, () => ({ kind: 'begin', mayEndFailed: false })],
  [
    /^(?:commit|end)(?:\s+(?:work|transaction))?(\s+and\s+chain)?$/i,
    ([, chain]) => ({ kind: 'commit', chain: chain !== undefined, mayEndFailed: true }),
  ],
  [
    /^(commit|rollback)\s+prepared\s+'([^']*)'$/i,
    ([, verb, gid]) => ({
      kind: 'settle',
      verb: verb!.toUpperCase() as 'COMMIT' | 'ROLLBACK',
      gid: gid!,
      mayEndFailed: false,
    }),
  ],
  [/^prepare\s+transaction\s+'([^']*)'$/i, ([, gid]) => ({ kind: 'prepare', gid: gid!, mayEndFailed: true })],
  [
    /^(?:rollback|abort)(?:\s+(?:work|transaction))?(\s+and\s+chain)?$/i,
    ([, chain]) => ({ kind: 'rollback', chain: chain !== undefined, mayEndFailed: true }),
  ],
  [
    /^rollback(?:\s+(?:work|transaction))?\s+to(?:\s+savepoint)?\s+(\w+)$/i,
    ([, name]) => ({ kind: 'rollbackTo', name: name!, mayEndFailed: true }),
  ],
  [/^savepoint\s+(\w+)$/i, ([, name]) => ({ kind: 'savepoint', name: name!, mayEndFailed: false })],
  [/^release(?:\s+savepoint)?\s+(\w+)$/i, ([, name]) => ({ kind: 'release', name: name!, mayEndFailed: false })],
  [
    /^set\s+(local\s+)?([\w.]+)\s*(?:=|to)\s*'?([^']*)'?$/i,
    ([, local, name, value]) => ({
      kind: 'set',
      isLocal: local !== undefined,
      name: name!,
      value: value!,
      mayEndFailed: false,
    }),
  ],
  [
    /^select\s+pg_sleep\(([\d.]+)\)$/i,
    ([, seconds]) => ({ kind: 'sleep', ms: Number(seconds) * 1_000, mayEndFailed: false }),
  ],
]

/** First letters of the forms above; most statements of a workload need no further look. */
const LEADING = /^(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/)*/

/** Undefined for a statement about rows. */
export function parseControl(text: string): Control | undefined {
  const bare = text.replace(LEADING, '').trimEnd()
  for (const [form, make] of FORMS) {
    const match = form.exec(bare)
    if (match !== null) return make(match)
  }
  return undefined
}
