import type { BranchId, ClusterId, Txid } from '../../base/index.ts'
import type { AbortRequest, CommitRequest, CoordinatorPort, InquireRequest, Reply } from '../../coordinator/index.ts'
import type { Oracle } from '../oracle/index.ts'
import { placeOf } from './bank-database.ts'

/** A client's way to the coordinators, with the oracle listening. */
export class ObservedPort implements CoordinatorPort {
  readonly #port: CoordinatorPort
  readonly #oracle: Oracle
  readonly #by: string
  readonly #now: () => number

  constructor(port: CoordinatorPort, oracle: Oracle, by: string, now: () => number) {
    this.#port = port
    this.#oracle = oracle
    this.#by = by
    this.#now = now
  }

  clusterId(options: Parameters<CoordinatorPort['clusterId']>[0]): Promise<ClusterId> {
    return this.#port.clusterId(options)
  }

  commit(request: CommitRequest): Promise<Reply> {
    const { txid, branches } = request
    this.#oracle.branches.askedToCommit(txid)
    for (const { kind, vote, participant, branch } of branches) {
      if (kind === 'local' && vote === 'commit') this.#oracle.branches.votedCommit(txid, placeOf(participant, branch))
    }
    return this.#listen(txid, this.#port.commit(request))
  }

  abort(request: AbortRequest, timeoutMs: number): Promise<Reply> {
    return this.#listen(request.txid, this.#port.abort(request, timeoutMs))
  }

  inquire(request: InquireRequest, timeoutMs: number): Promise<Reply> {
    return this.#listen(request.txid, this.#port.inquire(request, timeoutMs))
  }

  ack(txid: Txid, branches: readonly BranchId[]): void {
    this.#port.ack(txid, branches)
  }

  close(): Promise<void> {
    return this.#port.close()
  }

  async #listen(txid: Txid, asked: Promise<Reply>): Promise<Reply> {
    const askedMs = this.#now()
    const reply = await asked
    if (reply.kind === 'outcome') {
      this.#oracle.answers.heard(txid, { by: this.#by, heard: reply.outcome.kind, askedMs })
    }
    return reply
  }
}
