import { ConcordatError, type Txid } from '../../base/index.ts'
import type { KvRefusal } from '../wire/index.ts'

/**
 * What a key-value participant refused, or could not be asked. `code` says what happened, and every code is in
 * docs/reference/errors.md; `retryable`, whether to run the transaction again.
 */
export class KvError extends ConcordatError {
  readonly code: string
  override readonly retryable: boolean
  /** The participant's name. */
  readonly participant: string
  /** The transaction, when it had one. */
  readonly txid: Txid | undefined

  constructor(
    participant: string,
    { code, message, retryable }: Omit<KvRefusal, 'kind'>,
    options: ErrorOptions & { readonly txid?: Txid | undefined } = {},
  ) {
    super(message, options)
    this.code = code
    this.retryable = retryable
    this.participant = participant
    this.txid = options.txid
  }
}

/** The participant was not reached: nothing was done. */
export function unavailable(participant: string, address: string, why: string, cause?: unknown): KvError {
  const message = `the key-value participant ${participant === '' ? '' : `${participant} `}at ${address} can't be reached (${why}); nothing was done. Does it run, and is the address right?`
  // A wrong name, cluster or certificate stays wrong.
  const { retryable = true } = (cause ?? {}) as { readonly retryable?: boolean }
  return new KvError(participant, { code: 'KV_UNAVAILABLE', message, retryable }, { cause })
}

/** The application has closed it. */
export function closed(participant: string): KvError {
  const message = `kv() of ${participant} was closed; nothing was done. Make a new one`
  return new KvError(participant, { code: 'KV_CLOSED', message, retryable: false })
}

/** The branch is gone with its connection. */
export function branchLost(participant: string, txid: Txid, cause: unknown): KvError {
  const message = `the connection to the key-value participant ${participant} ended, and with it its branch of ${txid}: nothing of it happens. Run the transaction again`
  return new KvError(participant, { code: 'KV_BRANCH_LOST', message, retryable: true }, { txid, cause })
}

/** The branch takes no more work. */
export function branchEnded(participant: string, txid: Txid, why: string, cause?: unknown): KvError {
  const message = `the branch of ${txid} at ${participant} ${why}; nothing was done. Use it only inside its callback, and await every call`
  return new KvError(participant, { code: 'KV_BRANCH_ENDED', message, retryable: false }, { txid, cause })
}

/** Nobody can say whether it was committed. */
export function outcomeUnknown(participant: string, txid: Txid, cause: unknown): KvError {
  const message = `it is not known whether ${participant} committed ${txid}: its answer was lost, and it could not be asked again in time. Look at the keys before you do it once more`
  return new KvError(participant, { code: 'KV_OUTCOME_UNKNOWN', message, retryable: false }, { txid, cause })
}
