import type { NodeId, Prng } from '../../base/index.ts'
import { simpleConfiguration } from '../configuration.ts'

/** How often each thing happens in one schedule, as weights; drawn per schedule, so that schedules differ in kind. */
export interface Weights {
  readonly tick: number
  readonly timeout: number
  readonly deliver: number
  readonly write: number
  readonly load: number
  readonly propose: number
  readonly read: number
  readonly crash: number
  readonly start: number
  readonly partition: number
  readonly usurp: number
  readonly unreachable: number
  readonly staleWritten: number
  readonly lag: number
  readonly snapshot: number
  readonly store: number
  readonly install: number
  readonly stream: number
  readonly transfer: number
  readonly change: number
  readonly join: number
  readonly damage: number
  readonly betray: number
}

/** Options of a group. */
export function drawOptions(random: Prng) {
  const count = random.pick([3, 3, 3, 5, 5, 2, 1])
  const ids = Array.from({ length: count }, (_, i) => (i + 1) as NodeId)
  const learners = random.chance(0.2) ? [(count + 1) as NodeId] : []
  return {
    configuration: simpleConfiguration(ids, learners),
    electionTimeoutTicks: random.between(4, 8),
    heartbeatTicks: random.between(1, 2),
    inFlightMessagesMax: random.between(1, 5),
    inFlightBytesMax: random.between(50, 600),
    messageBytesMax: random.between(40, 400),
    uncommittedBytesMax: random.between(100, 1000),
    cacheBytesMax: random.pick([0, 0, 100, 400, 100_000]),
  }
}

/** Weights of a schedule. */
export function drawWeights(random: Prng): Weights {
  return {
    tick: random.between(8, 30),
    timeout: random.pick([0, 1, 3, 6]),
    deliver: random.between(15, 60),
    write: random.between(3, 40),
    load: random.between(2, 20),
    propose: random.between(1, 10),
    read: random.between(0, 5),
    crash: random.pick([0, 0, 1, 2]),
    start: random.between(1, 4),
    partition: random.pick([0, 1, 2, 3]),
    usurp: random.pick([0, 0, 1]),
    unreachable: random.between(0, 1),
    staleWritten: random.between(0, 2),
    lag: random.pick([0, 0, 1]),
    snapshot: random.pick([0, 1, 3, 8]),
    store: random.between(1, 20),
    install: random.between(1, 10),
    stream: random.between(1, 4),
    transfer: random.pick([0, 0, 1, 2]),
    change: random.pick([0, 0, 1, 3]),
    join: random.pick([0, 1]),
    damage: random.pick([0, 0, 0, 1]),
    betray: random.pick([0, 0, 1]),
  }
}
