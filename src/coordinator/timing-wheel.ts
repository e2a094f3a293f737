import { assert, type Clock, type Timer } from '../base/index.ts'

/** Something that waits for its moment. An alarm is in at most one place at a time. */
export interface Alarm {
  /** The tick at which it rings; undefined while it is not set. Only the wheel writes it. */
  dueTick: number | undefined
  ring(nowMs: number): void
}

/**
 * Many deadlines behind one timer, none early and each about two ticks late at most. Setting and cancelling take constant time, and
 * the clock is asked for a timer only while something waits (a timer per transaction would cost more than the transaction).
 */
export class TimingWheel {
  readonly #clock: Clock
  readonly #tickMs: number
  readonly #slots = new Map<number, Set<Alarm>>()
  #doneTick: number
  #timer: Timer | undefined
  #ringing = false

  constructor(clock: Clock, tickMs: number) {
    this.#clock = clock
    this.#tickMs = tickMs
    this.#doneTick = this.#tickOf(clock.monotonicMs())
  }

  /** Rings `alarm` once, `delayMs` from now; an alarm that is set already moves. */
  set(alarm: Alarm, delayMs: number): void {
    this.cancel(alarm)
    // Nothing waited, so no tick was missed: begin to count at the present one.
    if (this.#timer === undefined && !this.#ringing) this.#doneTick = this.#tickOf(this.#clock.monotonicMs())
    const due = Math.max(this.#tickOf(this.#clock.monotonicMs() + delayMs) + 1, this.#doneTick + 1)
    alarm.dueTick = due
    const slot = this.#slots.get(due)
    if (slot === undefined) this.#slots.set(due, new Set([alarm]))
    else slot.add(alarm)
    if (!this.#ringing) this.#timer ??= this.#clock.after(this.#tickMs, this.#tick)
  }

  cancel(alarm: Alarm): void {
    if (alarm.dueTick === undefined) return
    const slot = this.#slots.get(alarm.dueTick)
    assert(slot !== undefined, 'an alarm that is set has its slot')
    slot.delete(alarm)
    if (slot.size === 0) this.#slots.delete(alarm.dueTick)
    alarm.dueTick = undefined
  }

  /** Cancels everything. */
  clear(): void {
    for (const slot of this.#slots.values()) for (const alarm of slot) alarm.dueTick = undefined
    this.#slots.clear()
    if (this.#timer !== undefined) this.#clock.cancel(this.#timer)
    this.#timer = undefined
  }

  readonly #tick = (): void => {
    this.#timer = undefined
    const nowMs = this.#clock.monotonicMs()
    const nowTick = this.#tickOf(nowMs)
    this.#ringing = true
    while (this.#doneTick < nowTick) {
      this.#doneTick++
      this.#ring(this.#doneTick, nowMs)
    }
    this.#ringing = false
    if (this.#slots.size > 0) this.#timer = this.#clock.after(this.#tickMs, this.#tick)
  }

  #ring(tick: number, nowMs: number): void {
    const slot = this.#slots.get(tick)
    if (slot === undefined) return
    // An alarm may cancel another one of its slot: that one must not ring.
    for (const alarm of slot) {
      slot.delete(alarm)
      alarm.dueTick = undefined
      alarm.ring(nowMs)
    }
    this.#slots.delete(tick)
  }

  #tickOf(ms: number): number {
    return Math.floor(ms / this.#tickMs)
  }
}
