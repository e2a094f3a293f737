/** One macrotask that waits for its time. */
export interface QueuedEvent<Owner> {
  /** True time at which it is due. */
  readonly at: number
  /** Orders events of one moment; drawn at random, so that no order is taken for granted. */
  readonly tie: number
  /** Orders what is left: first come, first served. */
  readonly sequence: number
  readonly owner: Owner
  /** Undefined once it was cancelled. */
  task: (() => void) | undefined
}

/**
 * The macrotasks to come, the earliest first: a binary heap. Cancelled events stay until they come up, because timers
 * are cancelled far more often than the heap could be searched.
 */
export class EventQueue<Owner> {
  readonly #heap: QueuedEvent<Owner>[] = []
  #sequence = 0

  get size(): number {
    return this.#heap.length
  }

  add(at: number, tie: number, owner: Owner, task: () => void): QueuedEvent<Owner> {
    const event: QueuedEvent<Owner> = { at, tie, sequence: this.#sequence++, owner, task }
    const heap = this.#heap
    let hole = heap.length
    heap.push(event)
    while (hole > 0) {
      const parent = (hole - 1) >> 1
      const above = heap[parent]!
      if (!isBefore(event, above)) break
      heap[hole] = above
      hole = parent
    }
    heap[hole] = event
    return event
  }

  /** Takes the earliest event that was not cancelled, if it is due at `untilMs` or before. */
  takeDue(untilMs: number): QueuedEvent<Owner> | undefined {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined || first.at > untilMs) return undefined
      this.#takeFirst()
      if (first.task !== undefined) return first
    }
  }

  #takeFirst(): QueuedEvent<Owner> | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (last === undefined || first === undefined || heap.length === 0) return first
    const { length } = heap
    let hole = 0
    for (;;) {
      let child = 2 * hole + 1
      if (child >= length) break
      if (child + 1 < length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[hole] = heap[child]!
      hole = child
    }
    heap[hole] = last
    return first
  }
}

function isBefore<Owner>(a: QueuedEvent<Owner>, b: QueuedEvent<Owner>): boolean {
  if (a.at !== b.at) return a.at < b.at
  if (a.tie !== b.tie) return a.tie < b.tie
  return a.sequence < b.sequence
}
