import {
  BRANCHES_MAX,
  type BranchId,
  type ClusterId,
  MalformedIdError,
  parseClusterId,
  parseTxid,
  type Txid,
} from './ids.ts'

/** What a call inside a transaction tells the service that it calls (header `concordat-tx`). */
export interface CallTicket {
  readonly cluster: ClusterId
  readonly txid: Txid
  /** The caller's number of this call. */
  readonly call: number
  /** The branch numbers that the called service, and whoever it calls, may use: nobody else of the transaction has them. */
  readonly numbers: readonly BranchId[]
  /** What was left of the transaction's time when the call was made. */
  readonly timeoutMs: number
}

/** `j1;cluster;txid;call;numbers;milliseconds`; `numbers` is a set: bit n of 64, in 16 hex digits. */
const TICKET = /^j1;([A-Za-z0-9-]{1,12});([0-9a-f-]{36});(\d{1,7});([0-9a-f]{16});(\d{1,15})$/

/** A ticket as text, at most 105 plain characters; see `parseCallTicket`. */
export function formatCallTicket({ cluster, txid, call, numbers, timeoutMs }: CallTicket): string {
  let bits = 0n
  for (const number of numbers) bits |= 1n << BigInt(number)
  const set = bits.toString(16).padStart(BRANCHES_MAX / 4, '0')
  return `j1;${cluster};${txid};${call};${set};${Math.max(0, Math.ceil(timeoutMs))}`
}

/** @throws MalformedIdError unless `text` came from `formatCallTicket` */
export function parseCallTicket(text: string): CallTicket {
  const match = TICKET.exec(text)
  if (match === null) {
    throw new MalformedIdError(
      `${JSON.stringify(text.slice(0, 200))} is no call inside a transaction; pass on the header as tx.headers() made it`,
    )
  }
  const [, cluster, txid, call, set, timeout] = match as unknown as [string, string, string, string, string, string]
  const bits = BigInt(`0x${set}`)
  const numbers: BranchId[] = []
  for (let number = 0; number < BRANCHES_MAX; number++) {
    if (((bits >> BigInt(number)) & 1n) === 1n) numbers.push(number as BranchId)
  }
  return {
    cluster: parseClusterId(cluster),
    txid: parseTxid(txid),
    call: Number(call),
    numbers,
    timeoutMs: Number(timeout),
  }
}
