import type { BranchRecord } from '../txn/index.ts'

/** What one application may have under way on one coordinator. */
export interface ClientLimits {
  /** Commit requests without an answer. */
  readonly openMax: number
  /** Branches of them. */
  readonly branchesMax: number
  /** Bytes of their names and evidence. */
  readonly bytesMax: number
}

/** One application may use a tenth of a coordinator's room for open transactions. */
export const CLIENT_DEFAULTS: ClientLimits = { openMax: 10_000, branchesMax: 100_000, bytesMax: 64 * 1024 * 1024 }

/** What a request needs of the quota. */
type Request = { readonly branches: readonly BranchRecord[] }

/** Fixed fields of a request and of a branch, and what keeping them costs. */
const REQUEST_BYTES = 128
const BRANCH_BYTES = 64

/**
 * Counts what one session has under way, so that one application that runs wild does not take everybody's room. Only
 * commit requests count: an abort frees locks, and an inquiry ends doubts.
 */
export class ClientQuota {
  readonly #limits: ClientLimits
  #open = 0
  #branches = 0
  #bytes = 0

  constructor(limits: ClientLimits) {
    this.#limits = limits
  }

  /** Takes a request in; or says, in words, which limit forbids it. A lone request is never forbidden for its size. */
  take(request: Request): string | undefined {
    const { openMax, branchesMax, bytesMax } = this.#limits
    const branches = request.branches.length
    const bytes = bytesOf(request)
    if (this.#open >= openMax) return `${openMax} transactions (clients.openMax)`
    if (this.#open > 0 && this.#branches + branches > branchesMax)
      return `${branchesMax} branches (clients.branchesMax)`
    if (this.#open > 0 && this.#bytes + bytes > bytesMax) return `${bytesMax} bytes (clients.bytesMax)`
    this.#open++
    this.#branches += branches
    this.#bytes += bytes
    return undefined
  }

  /** A request that was taken has its answer. */
  give(request: Request): void {
    this.#open--
    this.#branches -= request.branches.length
    this.#bytes -= bytesOf(request)
  }
}

function bytesOf({ branches }: Request): number {
  let bytes = REQUEST_BYTES + branches.length * BRANCH_BYTES
  for (const { participant, evidence } of branches) bytes += participant.length + (evidence?.length ?? 0)
  return bytes
}
