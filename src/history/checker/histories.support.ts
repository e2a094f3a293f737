import type { Prng } from '../../base/index.ts'
import type { EventType, History, Operation, Scalar } from '../events.ts'
import { HistoryRecorder } from '../recorder.ts'

/** What a random history is made of. */
export interface Shape {
  readonly transactions: number
  readonly threads: number
  readonly keys: number
  readonly operationsMax: number
  /** Of a hundred: how many fail, and of how many nobody hears the end. */
  readonly failPercent: number
  readonly infoPercent: number
}

interface Running {
  readonly asked: readonly Operation[]
  readonly type: Exclude<EventType, 'invoke'>
  /** With what it saw, once it took effect. */
  seen: readonly Operation[] | undefined
}

/** A database that runs one transaction at a time: each takes effect at once, at a random moment between its begin and its end. */
export class SerialDatabase {
  readonly recorder: HistoryRecorder
  readonly #prng: Prng
  readonly #shape: Shape
  readonly #lists = new Map<Scalar, Scalar[]>()
  readonly #running: (Running | undefined)[]
  /** Of these nobody heard the end: they may take effect at any later moment, or never. */
  readonly #zombies: Running[] = []
  #begun = 0
  #elements = 0
  #timeNs = 0

  constructor(prng: Prng, shape: Shape) {
    this.#prng = prng
    this.#shape = shape
    this.recorder = new HistoryRecorder(shape.threads)
    this.#running = Array.from({ length: shape.threads }, () => undefined)
  }

  /** Runs all of it. */
  run(): History {
    while (this.#begun < this.#shape.transactions || this.#running.some((running) => running !== undefined))
      this.#step()
    return this.recorder.events
  }

  #step(): void {
    const thread = this.#prng.below(this.#running.length)
    const running = this.#running[thread]
    this.#timeNs += this.#prng.below(3)
    if (this.#zombies.length > 0 && this.#prng.chance(0.1)) {
      const [zombie] = this.#zombies.splice(this.#prng.below(this.#zombies.length), 1)
      if (zombie !== undefined) this.#takeEffect(zombie)
    } else if (running === undefined) this.#begin(thread)
    else if (running.seen === undefined && running.type !== 'fail' && this.#prng.chance(0.7)) this.#takeEffect(running)
    else this.#end(thread, running)
  }

  #begin(thread: number): void {
    if (this.#begun === this.#shape.transactions) return
    this.#begun++
    const asked = Array.from({ length: this.#prng.between(1, this.#shape.operationsMax) }, () => this.#operation())
    const chance = this.#prng.below(100)
    const { failPercent, infoPercent } = this.#shape
    const type = chance < failPercent ? 'fail' : chance < failPercent + infoPercent ? 'info' : 'ok'
    this.#running[thread] = { asked, type, seen: undefined }
    this.recorder.invoke(thread, this.#timeNs, asked)
  }

  #operation(): Operation {
    const key = this.#prng.below(this.#shape.keys)
    if (this.#prng.chance(0.5)) return { kind: 'read', key, list: undefined }
    return { kind: 'append', key, value: ++this.#elements }
  }

  #takeEffect(running: Running): void {
    running.seen = running.asked.map((operation) => {
      const list = this.#lists.get(operation.key) ?? []
      if (operation.kind === 'read') return { ...operation, list: [...list] }
      this.#lists.set(operation.key, [...list, operation.value])
      return operation
    })
  }

  #end(thread: number, running: Running): void {
    if (running.type === 'ok' && running.seen === undefined) this.#takeEffect(running)
    if (running.type === 'info' && running.seen === undefined) this.#zombies.push(running)
    this.#running[thread] = undefined
    this.recorder.complete(thread, this.#timeNs, running.type, running.type === 'ok' ? running.seen : undefined)
  }
}

/** The history with the operations of one event replaced. */
export function withOperations(history: History, index: number, operations: readonly Operation[]): History {
  return history.map((event) => (event.index === index && event.kind === 'client' ? { ...event, operations } : event))
}

/**
 * Changes something at random: what a read saw, or how a transaction ended. The result may be right all the same: only the
 * definition can tell.
 */
export function mutated(history: History, prng: Prng): History {
  const ends = history.filter((event) => event.kind === 'client' && event.type !== 'invoke')
  if (ends.length === 0) return history
  const end = prng.pick(ends)
  if (end.kind !== 'client') return history
  if (prng.chance(0.15)) {
    const type = end.type === 'ok' ? 'fail' : end.type
    return history.map((event) => (event === end ? { ...end, type } : event))
  }
  const reads = end.operations.flatMap((operation, at) => (operation.kind === 'read' && operation.list ? [at] : []))
  if (end.type !== 'ok' || reads.length === 0) return history
  const at = prng.pick(reads)
  return withOperations(
    history,
    end.index,
    end.operations.map((operation, place) => {
      if (place !== at || operation.kind !== 'read' || operation.list === undefined) return operation
      return { ...operation, list: changed(operation.list, history, prng) }
    }),
  )
}

function changed(list: readonly Scalar[], history: History, prng: Prng): readonly Scalar[] {
  const elements = history.flatMap((event) =>
    event.kind === 'client' && event.type === 'invoke'
      ? event.operations.flatMap((operation) => (operation.kind === 'append' ? [operation.value] : []))
      : [],
  )
  const place = prng.below(list.length + 1)
  switch (prng.below(5)) {
    case 0:
      return list.slice(0, place)
    case 1:
      return list.filter((_, at) => at !== place)
    case 2:
      return list.toSpliced(place, 0, elements.length === 0 ? 99 : prng.pick(elements))
    case 3:
      return list.toReversed()
    default:
      return [...list, elements.length === 0 ? 99 : prng.pick(elements)]
  }
}
