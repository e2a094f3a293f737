/** What the resolver shows of one resource. */
export interface ResourceStatus {
  readonly name: string
  /** Prepared branches of this cluster at the last scan, less those settled since. Young ones belong to transactions in progress. */
  readonly inDoubtCount: number
  /** How long the oldest of them has been prepared (as far as known); undefined when there is none. */
  readonly oldestMs: number | undefined
  /** Why the last scan failed; undefined when it did not. */
  readonly error: string | undefined
  /** How long scans have been failing. */
  readonly errorAgeMs: number | undefined
  /** How long ago the last scan began; undefined before the first. */
  readonly scanAgeMs: number | undefined
  /** Branches that the resolver ended here. */
  readonly settledCount: number
  /** For the latest of them: how long they had been in doubt, milliseconds. */
  readonly recentDoubtMs: readonly number[]
}

export interface ResolverStatus {
  /** True while this coordinator leads. Figures of a follower are those of its last leadership. */
  readonly running: boolean
  readonly resources: readonly ResourceStatus[]
  /** Participants of local branches that nobody acknowledges and for which no resource is configured: add them, or settle by hand. */
  readonly unconfigured: readonly { readonly participant: string; readonly branchCount: number }[]
}
