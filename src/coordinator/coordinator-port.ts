import type { Clock, Timer } from '../base/index.ts'
import type { Coordinator } from './coordinator.ts'
import type { DeadlockDetector, WaitSource } from './deadlock/index.ts'
import { refusal } from './refusals.ts'
import type { CoordinatorPort, Reply } from './requests.ts'

/**
 * A client's way to a coordinator in its own process (`Concordat.embedded`, tests). A fleet's port follows the leader;
 * this one has nobody else to ask, so it repeats a retryable refusal until `timeoutMs` is over.
 *
 * @param clock measures the timeouts and the pause between two tries
 * @param deadlocks who looks for deadlocks; undefined: nobody
 */
export function coordinatorPort(
  coordinator: Coordinator,
  clock: Clock,
  deadlocks?: Pick<DeadlockDetector, 'waiting'>,
): CoordinatorPort {
  let tell: Parameters<NonNullable<CoordinatorPort['waiting']>>[1] = () => {}
  const source: WaitSource = {
    condemn: (verdict) => {
      queueMicrotask(() => tell(verdict))
      return true
    },
  }
  const repeat = (timeoutMs: number, ask: (reply: (reply: Reply) => void) => void) =>
    new Promise<Reply>((resolve) => new Repeater(clock, timeoutMs, ask, resolve).ask())
  return {
    clusterId: async () => coordinator.clusterId,
    commit: (request) => repeat(request.timeoutMs, (reply) => coordinator.commit(request, reply)),
    abort: (request, timeoutMs) => repeat(timeoutMs, (reply) => coordinator.abort(request, reply)),
    inquire: (request, timeoutMs) => repeat(timeoutMs, (reply) => coordinator.inquire(request, reply)),
    ack: (txid, branches) => coordinator.ack(txid, branches),
    ...(deadlocks !== undefined && {
      waiting: (transactions, onVerdict) => {
        tell = onVerdict
        deadlocks.waiting(source, transactions)
      },
    }),
    // The coordinator belongs to whoever made it.
    close: async () => {},
  }
}

const PAUSE_MS = 20

/** How long after its own deadline a coordinator is expected to have answered. */
const ANSWER_SLACK_MS = 500

/** One request, repeated until it has an answer that repeating would not change, or its time is over. */
class Repeater {
  readonly #clock: Clock
  readonly #deadlineMs: number
  readonly #ask: (reply: (reply: Reply) => void) => void
  readonly #resolve: (reply: Reply) => void
  readonly #patience: Timer
  /** An earlier try may still take effect: then a later "nothing was done" must not be the last word. */
  #pending = false
  #settled = false

  constructor(
    clock: Clock,
    timeoutMs: number,
    ask: (reply: (reply: Reply) => void) => void,
    resolve: (reply: Reply) => void,
  ) {
    this.#clock = clock
    this.#deadlineMs = clock.monotonicMs() + timeoutMs
    this.#ask = ask
    this.#resolve = resolve
    // P8: a log without a majority neither commits nor refuses, so the caller would wait for ever.
    this.#patience = clock.after(timeoutMs + ANSWER_SLACK_MS, () => this.#settle(refusal('OUTCOME_PENDING')))
  }

  ask(): void {
    if (!this.#settled) this.#ask((reply) => this.#take(reply))
  }

  #take(reply: Reply): void {
    if (this.#settled) return
    if (reply.kind === 'outcome') {
      this.#settle(reply)
      return
    }
    if (reply.code === 'OUTCOME_PENDING') this.#pending = true
    const again = reply.retryable && reply.code !== 'SHUTTING_DOWN'
    if (again && this.#clock.monotonicMs() + PAUSE_MS < this.#deadlineMs) this.#clock.after(PAUSE_MS, () => this.ask())
    else this.#settle(this.#pending ? refusal('OUTCOME_PENDING', reply.leader) : reply)
  }

  #settle(reply: Reply): void {
    if (this.#settled) return
    this.#settled = true
    this.#clock.cancel(this.#patience)
    this.#resolve(reply)
  }
}
