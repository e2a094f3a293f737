import { CodecError, ConcordatError, type Txid } from '../../base/index.ts'
import type { AbortVote } from '../engine/vote.ts'
import type { KvRefusal } from '../wire/index.ts'

/** An error of the store, as the other side gets it. */
export function refusalOf(thrown: unknown): KvRefusal {
  if (thrown instanceof CodecError) {
    const message = `the participant can't read the request: ${thrown.message}; nothing was done; does it run the same release?`
    return { kind: 'refused', code: 'KV_INVALID', message, retryable: false }
  }
  if (thrown instanceof ConcordatError) {
    return { kind: 'refused', code: thrown.code, message: thrown.message, retryable: thrown.retryable }
  }
  const message = `the participant failed: ${thrown instanceof Error ? thrown.message : String(thrown)}; look into its log`
  return { kind: 'refused', code: 'INTERNAL', message, retryable: false }
}

/** Too much is under way. */
export function busy(what: string): KvRefusal {
  const message = `the key-value participant takes no more now: ${what}; nothing was done. Try again a little later`
  return { kind: 'refused', code: 'KV_BUSY', message, retryable: true }
}

/** A branch that is not at work on this connection. */
export function notHere(txid: Txid, why: string | undefined): KvRefusal {
  const message = `the participant has no branch of ${txid} at work on this connection: ${why ?? 'it has ended, or a restart ended it'}. Nothing was done. Begin a new transaction`
  return { kind: 'refused', code: 'KV_BRANCH_LOST', message, retryable: true }
}

/** A vote to abort, as an error that says whether another attempt may help. */
export function refusalOfVote({ reason, message }: AbortVote): KvRefusal {
  switch (reason) {
    case 'notBelowZero':
    case 'compareAndSet':
    case 'unique':
      return { kind: 'refused', code: 'KV_CONSTRAINT', message, retryable: false }
    case 'tooLarge':
      return { kind: 'refused', code: 'KV_BRANCH_TOO_LARGE', message, retryable: false }
    case 'diskFull':
      return { kind: 'refused', code: 'KV_BUSY', message, retryable: true }
    case 'poisoned':
    case 'busy':
      return { kind: 'refused', code: 'KV_BRANCH_ENDED', message, retryable: false }
    default:
      return { kind: 'refused', code: 'KV_BRANCH_LOST', message, retryable: true }
  }
}
