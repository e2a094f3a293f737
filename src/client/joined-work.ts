import type { BranchId, Clock, Txid } from '../base/index.ts'
import type { CoordinatorPort } from '../coordinator/index.ts'
import { Background } from './background.ts'
import { Deadlines } from './deadlines.ts'
import type { Logger } from './logger.ts'
import { Settler } from './settler.ts'

/** What the shares of all calls that one process joined have in common. */
export class JoinedWork {
  readonly clock: Clock
  readonly logger: Logger
  readonly deadlines: Deadlines
  readonly background: Background
  readonly #random: () => number

  constructor(clock: Clock, random: () => number, logger: Logger) {
    this.clock = clock
    this.logger = logger
    this.#random = random
    this.deadlines = new Deadlines(clock)
    this.background = new Background({ clock, random: () => this.#random(), logger })
  }

  /** Carries decisions out and acknowledges them through `port`. */
  settler(port: CoordinatorPort): Settler {
    const { background, deadlines, logger } = this
    return new Settler({ port, background, deadlines, logger })
  }
}

/** A database of this process in which it joins. */
export interface JoinedResource {
  /** The name under which the coordinators ask this process for votes. */
  readonly participant: string
  readonly settler: Settler
  ack(txid: Txid, branches: readonly BranchId[]): void
}
