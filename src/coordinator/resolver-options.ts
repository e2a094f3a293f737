/** How the resolver behaves. Times are milliseconds of its clock. */
export interface ResolverOptions {
  /** Time between two scans of a resource. */
  readonly scanMs: number
  /** A branch younger than this is left to its application. */
  readonly graceMs: number
  /** First and longest wait before a resource that failed is tried again; each wait is drawn from its upper half. */
  readonly retryMinMs: number
  readonly retryMaxMs: number
  /** A database that does not answer a call for this long counts as failed. */
  readonly callTimeoutMs: number
  /** Branches of one resource that are settled at the same time, at most. */
  readonly concurrency: number
  /** Ended branches without acknowledgement that one scan asks evidence for, at most; the rest follows soon. */
  readonly endedBranchesMax: number
  /** A committed branch without a trace is reported (`heuristic none`) after this many scans without evidence. */
  readonly evidenceTries: number
  /** How often evidence that nobody can need is forgotten. */
  readonly forgetEvidenceMs: number
}

/** DESIGN §10. */
export const RESOLVER_DEFAULTS: ResolverOptions = {
  scanMs: 5_000,
  graceMs: 1_000,
  retryMinMs: 50,
  retryMaxMs: 5_000,
  callTimeoutMs: 10_000,
  concurrency: 4,
  endedBranchesMax: 1_000,
  evidenceTries: 3,
  forgetEvidenceMs: 60_000,
}
