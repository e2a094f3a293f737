import { BRANCH_HEADER, type CallTicket, type ClusterId, formatCallReport, parseCallTicket } from '../../base/index.ts'
import type { JoinedTransaction, Logger } from '../../client/index.ts'
import type { JoinedCalls } from './joined-calls.ts'

/** A call that must not be carried out. Its handler is not run. */
export interface RefusedCall {
  readonly kind: 'refused'
  readonly status: number
  readonly code: 'JOIN_BAD_HEADER' | 'JOIN_WRONG_CLUSTER' | 'JOIN_REPEATED' | 'JOIN_OVER' | 'JOIN_BUSY'
  readonly message: string
  /** Undefined: the caller must not think that nothing was done. */
  readonly report: string | undefined
}

/** What comes of a call at the door. `plain`: it is part of no transaction. */
export type Admitted =
  | { readonly kind: 'plain' }
  | { readonly kind: 'joined'; readonly joined: JoinedTransaction }
  | RefusedCall

/** What a gate needs. */
export interface GateParts {
  readonly clusterId: ClusterId
  readonly calls: JoinedCalls
  readonly openMax: number
  readonly timeoutMaxMs: number
  readonly isClosing: () => boolean
  readonly logger: Logger
}

/**
 * Decides about each call by its header alone. A call with the header is either joined or refused: it is never carried out
 * as an ordinary one, whose effects would stay when its caller's transaction aborts.
 */
export class Gate {
  readonly #parts: GateParts

  constructor(parts: GateParts) {
    this.#parts = parts
  }

  /** @param header the value of `concordat-tx`, undefined when the call has none */
  admit(header: string | undefined): Admitted {
    if (header === undefined) return { kind: 'plain' }
    const ticket = ticketOf(header)
    if (ticket === undefined) {
      const message = `the header ${BRANCH_HEADER} can not be read, so nothing was done; it must come as tx.fetch or tx.headers() made it`
      return this.#refuse(400, 'JOIN_BAD_HEADER', message, undefined)
    }
    return this.#objection(ticket) ?? this.#join(ticket)
  }

  #objection(ticket: CallTicket): RefusedCall | undefined {
    const { clusterId, calls, openMax, isClosing } = this.#parts
    const report = formatCallReport({ txid: ticket.txid, call: ticket.call, state: 'failed', branches: [] })
    if (ticket.cluster !== clusterId) {
      const message = `the call is part of a transaction of cluster ${ticket.cluster}, and this service belongs to ${clusterId}`
      return this.#refuse(409, 'JOIN_WRONG_CLUSTER', message, report)
    }
    if (ticket.timeoutMs === 0) {
      return this.#refuse(409, 'JOIN_OVER', 'the time of the transaction was over when the call was made', report)
    }
    if (isClosing()) return this.#refuse(503, 'JOIN_BUSY', 'this instance is closing and joins nothing more', report)
    if (calls.size >= openMax) {
      return this.#refuse(503, 'JOIN_BUSY', `${openMax} joined calls are open here, which is all that may be`, report)
    }
    return undefined
  }

  #join(ticket: CallTicket): Admitted {
    const timeoutMs = Math.min(ticket.timeoutMs, this.#parts.timeoutMaxMs)
    const joined = this.#parts.calls.join({ ...ticket, timeoutMs })
    if (joined !== undefined) return { kind: 'joined', joined }
    // No report: the first one may still be at work, or have been reported.
    const message = 'the same call is here already; whoever repeated it (a proxy?) must leave that to the caller'
    return this.#refuse(409, 'JOIN_REPEATED', message, undefined)
  }

  #refuse(status: number, code: RefusedCall['code'], message: string, report: string | undefined): RefusedCall {
    this.#parts.logger.warn({ code }, message)
    return { kind: 'refused', status, code, message, report }
  }
}

function ticketOf(header: string): CallTicket | undefined {
  try {
    return parseCallTicket(header)
  } catch {
    return undefined
  }
}
