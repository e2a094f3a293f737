import { type BranchId, type ClusterId, MalformedIdError, makeGid, parseGid, type Txid } from './ids.ts'

/** The HTTP header in which a call to a service names the branch that it works for. */
export const BRANCH_HEADER = 'concordat-tx'

/** What a service must know of the branch that a call belongs to. */
export interface BranchTicket {
  readonly cluster: ClusterId
  readonly txid: Txid
  readonly branch: BranchId
  /** The name under which the application enlisted the service. */
  readonly participant: string
  /** What was left of the transaction's time when the call was made. */
  readonly timeoutMs: number
}

/** `gid;participant;milliseconds`: plain characters only, so it fits in a header, a message's property or a log line. */
const TICKET = /^([A-Za-z0-9_-]{1,60});([A-Za-z0-9._-]{1,64});(\d{1,15})$/

/** A ticket as text, see `parseBranchTicket`. */
export function formatBranchTicket({ cluster, txid, branch, participant, timeoutMs }: BranchTicket): string {
  return `${makeGid(cluster, txid, branch)};${participant};${Math.max(0, Math.ceil(timeoutMs))}`
}

/** @throws MalformedIdError unless `text` came from `formatBranchTicket` */
export function parseBranchTicket(text: string): BranchTicket {
  const [, gid = '', participant = '', timeout = ''] = TICKET.exec(text) ?? []
  const identity = parseGid(gid)
  if (identity === undefined) {
    throw new MalformedIdError(
      `${JSON.stringify(text.slice(0, 200))} names no branch; pass on the value of the ${BRANCH_HEADER} header as it came`,
    )
  }
  return { ...identity, participant, timeoutMs: Number(timeout) }
}
