import { setTimeout as pause } from 'node:timers/promises'
import type { Prng } from '../../src/base/index.ts'
import type { Applications } from './applications.ts'
import type { ServerProcess } from './server-process.ts'
import type { Stage } from './stage.ts'

const VICTIMS = ['participant', 'leader', 'application', 'majority'] as const
const DOWN_MS_MAX = 400
/** So long a leader without a majority gathers votes and can't decide: branches come to be in doubt. */
const UNDECIDED_MS = 150

export interface KillerParts {
  readonly stage: Stage
  readonly applications: Applications
  /** How many slots there are. */
  readonly slots: number
  readonly prng: Prng
  /** Told before a signal is sent, and before a process is started again. */
  readonly onFault: (f: 'kill' | 'start', value: string) => void
}

/** Kills with SIGKILL whatever it meets, and starts it again. */
export class Killer {
  readonly kills = { participant: 0, leader: 0, application: 0, majority: 0 }
  readonly #parts: KillerParts
  #isStopping = false

  constructor(parts: KillerParts) {
    this.#parts = parts
  }

  /** Goes on until `stop`; each kind of victim comes soon, in a random order. @param everyMs the mean time between two kills */
  async run(everyMs: number): Promise<void> {
    const { prng } = this.#parts
    let left: (typeof VICTIMS)[number][] = []
    for (;;) {
      await pause(everyMs * (0.5 + prng.below(100) / 100))
      if (this.#isStopping) return
      if (left.length === 0) left = [...VICTIMS]
      const [victim = 'leader'] = left.splice(prng.below(left.length), 1)
      await this.#turn(victim)
    }
  }

  stop(): void {
    this.#isStopping = true
  }

  async #turn(victim: (typeof VICTIMS)[number]): Promise<void> {
    const { stage, applications, slots, prng, onFault } = this.#parts
    if (victim === 'application') {
      const slot = prng.below(slots)
      onFault('kill', `application in slot ${slot}`)
      this.kills.application++
      await applications.kill(slot)
      return
    }
    const leader = await stage.leader()
    const participant = prng.pick(stage.participants)
    // Without a leader there is none to kill: the next turn comes soon.
    if (victim === 'participant') await this.#killAndStart([participant])
    else if (leader === undefined) return
    else if (victim === 'leader') await this.#killAndStart([leader])
    else {
      // The participant comes back before them: those in doubt there must have their locks, and nobody can tell them the outcome.
      const others = stage.coordinators.filter((coordinator) => coordinator !== leader)
      await this.#kill(others)
      await pause(UNDECIDED_MS)
      await this.#killAndStart([participant])
      await pause(prng.below(DOWN_MS_MAX))
      await this.#start(others)
    }
    this.kills[victim]++
  }

  async #killAndStart(servers: readonly ServerProcess[]): Promise<void> {
    await this.#kill(servers)
    await pause(this.#parts.prng.below(DOWN_MS_MAX))
    await this.#start(servers)
  }

  async #kill(servers: readonly ServerProcess[]): Promise<void> {
    for (const { name } of servers) this.#parts.onFault('kill', name)
    await Promise.all(servers.map((server) => server.kill()))
  }

  /** However slow the machine is: who is killed next had its chance to work. */
  async #start(servers: readonly ServerProcess[]): Promise<void> {
    for (const server of servers) {
      this.#parts.onFault('start', server.name)
      server.start()
    }
    await Promise.all(servers.map((server) => server.up()))
  }
}
