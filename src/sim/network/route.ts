import type { Prng } from '../../base/index.ts'
import type { NetworkConditions } from './conditions.ts'

/** What a route needs of its world. */
export interface RouteWorld {
  readonly nowMs: number
  after(delayMs: number, task: () => void): unknown
}

/** How late a retransmission may come after a route is open again: TCP backs off while nothing gets through. */
const RETRANSMIT_MS_MAX = 200
/** Parcels of one flow never arrive in the same moment, so their order is certain. */
const GAP_MS = 0.001

/** One direction between two hosts. */
export class Route {
  readonly from: string
  readonly to: string
  /** So many faults cut it at present: nothing gets through, and nobody is told. */
  blocks = 0
  /** The host at its end is without power: the same, seen from here. */
  isDark = false
  readonly #world: RouteWorld
  readonly #prng: Prng
  readonly #conditions: () => NetworkConditions
  readonly #parked = new Set<Flow>()

  constructor(world: RouteWorld, prng: Prng, conditions: () => NetworkConditions, from: string, to: string) {
    this.#world = world
    this.#prng = prng
    this.#conditions = conditions
    this.from = from
    this.to = to
  }

  get isCut(): boolean {
    return this.blocks > 0 || this.isDark
  }

  get nowMs(): number {
    return this.#world.nowMs
  }

  latencyMs(): number {
    const { latencyMs, jitterMs, spike, spikeMs } = this.#conditions()
    const prng = this.#prng
    let delayMs = latencyMs + (jitterMs * prng.uint32()) / 2 ** 32
    if (spike > 0 && prng.chance(spike)) delayMs += prng.below(spikeMs)
    return delayMs
  }

  /** A parcel of its own, without order: it is lost when the route is cut. */
  sendLoose(extraMs: number, arrive: () => void): void {
    if (this.isCut) return
    this.#world.after(this.latencyMs() + extraMs, () => {
      if (!this.isCut) arrive()
    })
  }

  schedule(delayMs: number, task: () => void): void {
    this.#world.after(delayMs, task)
  }

  park(flow: Flow): void {
    this.#parked.add(flow)
  }

  /** Call when it may be open again. */
  refresh(): void {
    if (this.isCut) return
    const parked = [...this.#parked]
    this.#parked.clear()
    for (const flow of parked) flow.resend(this.#prng.below(RETRANSMIT_MS_MAX))
  }
}

/** One direction of one connection: parcels arrive in order, each once, as long as it lives. */
export class Flow {
  readonly route: Route
  #lastArrivalMs = 0
  #parked: (() => void)[] = []
  #swallowed = false

  constructor(route: Route) {
    this.route = route
  }

  send(arrive: () => void, extraMs = 0): void {
    if (this.#swallowed) return
    const { route } = this
    const nowMs = route.nowMs
    const atMs = Math.max(nowMs + route.latencyMs() + extraMs, this.#lastArrivalMs + GAP_MS)
    this.#lastArrivalMs = atMs
    route.schedule(atMs - nowMs, () => this.#arrive(arrive))
  }

  /** Everything that is under way and everything to come is lost, and nobody is told: a middlebox forgot the connection. */
  swallow(): void {
    this.#swallowed = true
    this.#parked = []
  }

  /** TCP tries again what was not acknowledged. */
  resend(extraMs: number): void {
    const parked = this.#parked
    this.#parked = []
    for (const arrive of parked) this.send(arrive, extraMs)
  }

  #arrive(arrive: () => void): void {
    if (this.#swallowed) return
    if (this.route.isCut || this.#parked.length > 0) {
      this.#parked.push(arrive)
      this.route.park(this)
      // It was opened while older parcels wait for their retransmission: they go first.
      if (!this.route.isCut) this.route.refresh()
      return
    }
    arrive()
  }
}
