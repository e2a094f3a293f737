/** Who lies in wait at a point: whose step it stands before or behind. */
export type FailpointComponent = 'coordinator' | 'raft' | 'wal' | 'client' | 'database' | 'kv' | 'service'

/** What must come out when the process that reaches a point dies there. */
export const REQUIRED_OUTCOMES = {
  either: 'commit or abort, the same everywhere',
  commit: 'commit',
  abort: 'abort: no branch of it is ever committed',
  decided: 'what was decided before, in every branch',
  unharmed: 'nothing that was acknowledged is lost; each transaction has one outcome, the same everywhere',
} as const

export type RequiredOutcome = keyof typeof REQUIRED_OUTCOMES

/** A named place in the code where a process may be made to die. */
export interface Failpoint {
  readonly component: FailpointComponent
  /** Before or behind which step it lies, in plain words; Markdown. */
  readonly where: string
  /** Of the transaction that is at this step; `unharmed` where the step belongs to no single one. */
  readonly outcome: RequiredOutcome
  /** When not the process dies but the connection or the database server: the process can still go on. */
  readonly elsewhere?: RequiredOutcome
  /** The promises of docs/promises.md that say so. */
  readonly promises: string
  /** It lies on the way up, so the second of two crashes can happen here. */
  readonly recovery?: true
  /** Why nobody can take over for whoever dies here. */
  readonly alone?: string
}

/** What all points of one component have in common. */
export function pointsOf(
  component: FailpointComponent,
  shared: Pick<Failpoint, 'alone'> = {},
): (
  where: string,
  outcome: RequiredOutcome,
  promises: string,
  more?: Pick<Failpoint, 'recovery' | 'alone' | 'elsewhere'>,
) => Failpoint {
  return (where, outcome, promises, more = {}) => ({ component, where, outcome, promises, ...shared, ...more })
}
