import { type BranchId, type ClusterId, parseClusterId, type Txid } from '../base/index.ts'
import type {
  AbortRequest,
  CommitRequest,
  CoordinatorPort,
  InquireRequest,
  Refusal,
  RefusalCode,
  Reply,
} from '../coordinator/index.ts'
import type { Outcome } from '../txn/index.ts'

/** What a test may put in the way of a commit request. `decide` is what the coordinators would do. */
export type CommitScript = (request: CommitRequest, decide: () => Reply) => Reply | Promise<Reply>

/** A coordinator that decides like a real one, first word wins, and whose answers a test can bend. */
export class ScriptedPort implements CoordinatorPort {
  readonly ledger = new Map<Txid, Outcome>()
  readonly commits: CommitRequest[] = []
  readonly aborts: AbortRequest[] = []
  readonly acks: { readonly txid: Txid; readonly branches: readonly BranchId[] }[] = []
  readonly cluster: ClusterId = parseClusterId('scripted')
  onCommit: CommitScript = (_request, decide) => decide()
  onInquire: (request: InquireRequest, answer: () => Reply) => Reply | Promise<Reply> = (_request, answer) => answer()
  onAck: () => void = () => {}
  isClosed = false

  clusterId(): Promise<ClusterId> {
    return Promise.resolve(this.cluster)
  }

  async commit(request: CommitRequest): Promise<Reply> {
    this.commits.push(request)
    return this.onCommit(request, () => this.decide(request.txid, { kind: 'committed' }))
  }

  async abort(request: AbortRequest): Promise<Reply> {
    this.aborts.push(request)
    return this.decide(request.txid, { kind: 'aborted', reason: 'requested', participant: request.participant })
  }

  async inquire(request: InquireRequest): Promise<Reply> {
    const presumed: Outcome = { kind: 'aborted', reason: 'presumed', participant: undefined }
    return this.onInquire(request, () => this.decide(request.txid, presumed))
  }

  ack(txid: Txid, branches: readonly BranchId[]): void {
    this.acks.push({ txid, branches })
    this.onAck()
  }

  close(): Promise<void> {
    this.isClosed = true
    return Promise.resolve()
  }

  /** The first decision wins (P2). */
  decide(txid: Txid, outcome: Outcome): Reply {
    if (!this.ledger.has(txid)) this.ledger.set(txid, outcome)
    return { kind: 'outcome', outcome: this.ledger.get(txid)! }
  }

  /** Resolves when `count` branches have been acknowledged. */
  acknowledged(count: number): Promise<void> {
    const enough = (): boolean => this.acks.reduce((sum, ack) => sum + ack.branches.length, 0) >= count
    return new Promise((resolve) => {
      this.onAck = () => {
        if (enough()) resolve()
      }
      this.onAck()
    })
  }
}

export function refuse(code: RefusalCode, retryable = false): Refusal {
  return { kind: 'refused', code, message: `scripted ${code}`, retryable, leader: undefined }
}
