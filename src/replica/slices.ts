import type { Clock } from '../base/index.ts'

/** How long work in the background holds the event loop at a stretch. */
const SLICE_MS = 2
/** The same bound in pieces of work, for clocks that stand still while we work. */
const SLICE_PIECES = 16

/** Cuts long work into slices, so that heartbeats and requests get their turn in between. */
export class Slices {
  readonly #clock: Clock
  readonly #later: (task: () => void) => void
  #endsAtMs = 0
  #piecesLeft = 0

  /** @param later runs a task later in the event loop, after I/O had its turn */
  constructor(clock: Clock, later: (task: () => void) => void) {
    this.#clock = clock
    this.#later = later
  }

  /** Call it after each piece of work: resolves at once, or in a later turn when the slice is over. */
  async pause(): Promise<void> {
    this.#piecesLeft--
    if (this.#piecesLeft > 0 && this.#clock.monotonicMs() < this.#endsAtMs) return
    await new Promise<void>((resolve) => this.#later(resolve))
    this.#endsAtMs = this.#clock.monotonicMs() + SLICE_MS
    this.#piecesLeft = SLICE_PIECES
  }
}
