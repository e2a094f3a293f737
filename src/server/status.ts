/** What `status` answers: one coordinator's own view. Times in milliseconds, sizes in bytes. */
export interface NodeStatus {
  readonly cluster: string
  readonly node: number
  readonly version: string
  readonly uptimeMs: number
  readonly residentBytes: number
  /** Its clock when it answered, milliseconds since 1970. Older releases do not tell. */
  readonly wallMs?: number
  readonly role: 'follower' | 'preCandidate' | 'candidate' | 'leader'
  /** This node leads and has applied everything before its term: it decides. */
  readonly serving: boolean
  readonly leader: number | undefined
  readonly term: number
  readonly commitIndex: number
  readonly lastApplied: number
  readonly lastIndex: number
  readonly log: { readonly bytesOnDisk: number; readonly spaceLow: boolean }
  /** This node was removed from the fleet: stop it. */
  readonly removed: boolean
  /** Members as this node sees them; match and lag only on the leader. */
  readonly members: readonly MemberStatus[]
  readonly transactions: TransactionCounts
  /** Deadlocks over several databases: found since this node started, and transactions that wait for a lock now. Older releases do not tell. */
  readonly deadlocks?: { readonly found: number; readonly waiting: number }
  /**
   * Unknown transactions that were made in this span (milliseconds since 1970) are not decided: a part of the log was
   * lost, and no operator has lifted the guard yet.
   */
  readonly guard: { readonly fromMs: number; readonly beforeMs: number } | undefined
  /** Only on the leader: it runs the resolver. */
  readonly resources: readonly ResourceStatus[]
  /** The databases of its configuration. Older releases do not tell. */
  readonly configured?: readonly ConfiguredResource[]
  /** Services that this node knows. A coordinator of a release before them leaves it out. */
  readonly participants?: readonly ParticipantStatus[]
  /** What this release knows that an older one does not. Releases before 0.3 leave it out. */
  readonly features?: readonly string[]
}

/** A database as a coordinator's configuration names it. */
export interface ConfiguredResource {
  readonly name: string
  readonly kind: 'postgres' | 'mysql'
  /** `host:port/database`; no user, no password. */
  readonly place: string
}

export interface ParticipantStatus {
  readonly name: string
  /** Connected to this node. */
  readonly instances: number
}

export interface MemberStatus {
  readonly node: number
  readonly role: 'voter' | 'learner' | 'leaving'
  readonly address: string
  readonly connected: boolean
  /** Entries that this member has not acknowledged yet. */
  readonly lag: number | undefined
}

export interface TransactionCounts {
  /** Undecided: votes are being gathered. */
  readonly preparing: number
  /** Decided, but not acknowledged by every branch. */
  readonly decided: number
  /** Finished and remembered. */
  readonly finished: number
  readonly committed: number
  readonly aborted: number
  /** Branches that ended otherwise than decided, or that nobody can tell: an operator must look. */
  readonly heuristics: number
  /** Branches that were forced by hand and are not as decided, or not carried out. Older releases do not tell. */
  readonly settlements?: number
}

export interface ResourceStatus {
  readonly name: string
  readonly inDoubt: number
  readonly oldestMs: number | undefined
  /** Why it can't be looked at, or why transactions over it fail until somebody changes its settings. */
  readonly error: string | undefined
}
