import {
  BRANCH_HEADER,
  type BranchId,
  type ClusterId,
  formatBranchTicket,
  isParticipantName,
  PARTICIPANT_NAME_RULE,
  type Txid,
} from '../base/index.ts'
import type { BranchRecord } from '../txn/index.ts'
import { InvalidOptionsError } from './errors.ts'

/** A service that takes part in transactions, by the name under which its instances connect to the coordinators. */
export interface Service {
  readonly kind: 'service'
  readonly name: string
}

/**
 * Names a service for `tx.enlist`. The coordinators must know it: an instance has connected, or it is configured there.
 *
 * @param name 1 to 64 characters of `A-Z a-z 0-9 . _ -`
 * @throws InvalidOptionsError
 * @example
 * const payments = service('payments')
 * await concordat.transaction(async (tx) => {
 *   const branch = await tx.enlist(payments)
 *   const answer = await fetch('http://payments/charge', { method: 'POST', headers: branch.headers(), body })
 *   if (!answer.ok) throw new Error(`the payment was refused with ${answer.status}`)
 * })
 */
export function service(name: string): Service {
  if (typeof name !== 'string' || !isParticipantName(name)) {
    throw new InvalidOptionsError('name', PARTICIPANT_NAME_RULE, name)
  }
  return { kind: 'service', name }
}

/** One call's share of a transaction in a service: what the application hands to it. */
export class ServiceBranch {
  readonly txid: Txid
  readonly branch: BranchId
  /** The service's name. */
  readonly participant: string
  readonly #cluster: ClusterId
  readonly #remainingMs: () => number

  /** @internal Made by `tx.enlist`. */
  constructor(record: BranchRecord, txid: Txid, cluster: ClusterId, remainingMs: () => number) {
    this.txid = txid
    this.branch = record.branch
    this.participant = record.participant
    this.#cluster = cluster
    this.#remainingMs = remainingMs
  }

  /** The branch as one text, for calls that are not HTTP: the service gives it to `join`. Made anew for each call: it tells the time that is left. */
  ticket(): string {
    const { txid, branch, participant } = this
    return formatBranchTicket({ cluster: this.#cluster, txid, branch, participant, timeoutMs: this.#remainingMs() })
  }

  /** Headers for the call: `concordat-tx` with the ticket. */
  headers(): Record<string, string> {
    return { [BRANCH_HEADER]: this.ticket() }
  }
}

/** A service's branch as the log keeps it: the coordinators ask for its vote. */
export function serviceRecord(branch: BranchId, participant: string): BranchRecord {
  return { branch, kind: 'service', participant, vote: undefined, evidence: undefined }
}
