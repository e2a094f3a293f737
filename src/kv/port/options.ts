/** What a key-value participant's port takes. */
export interface KvPortLimits {
  /** Branches at work at a time. Default 10,000. */
  readonly branchesMax: number
  /** Begins and statements of one connection that have no answer yet; never what ends a transaction. Default 1,000. */
  readonly callsMax: number
  /** Bytes of all begins and statements that have no answer yet. Default 64 MiB. */
  readonly callBytesMax: number
  /** So long after its transaction's time a branch that was not asked for its vote is rolled back, in milliseconds. Default 10,000. */
  readonly slackMs: number
}

export const KV_PORT_LIMITS: KvPortLimits = {
  branchesMax: 10_000,
  callsMax: 1_000,
  callBytesMax: 64 * 1024 * 1024,
  slackMs: 10_000,
}
