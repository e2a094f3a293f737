import { setTimeout as pause } from 'node:timers/promises'
import type { Prng } from '../../src/base/index.ts'
import type { Applications } from './applications.ts'
import type { ServerProcess } from './server-process.ts'
import type { Stage } from './stage.ts'

/** Participants hold the data, so they die most often. */
const VICTIMS = ['participant', 'participant', 'leader', 'application'] as const
const DOWN_MS_MAX = 400

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
  readonly kills = { participant: 0, leader: 0, application: 0 }
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
      await this.#kill(victim)
    }
  }

  stop(): void {
    this.#isStopping = true
  }

  async #kill(victim: (typeof VICTIMS)[number]): Promise<void> {
    const { stage, applications, slots, prng, onFault } = this.#parts
    if (victim === 'application') {
      const slot = prng.below(slots)
      onFault('kill', `application in slot ${slot}`)
      this.kills.application++
      await applications.kill(slot)
      return
    }
    const found = victim === 'leader' ? await stage.leader() : prng.pick(stage.participants)
    // Without a leader there is none to kill: the next turn comes soon.
    if (found === undefined) return
    this.kills[victim]++
    await this.#killServer(found)
  }

  async #killServer(server: ServerProcess): Promise<void> {
    const { prng, onFault } = this.#parts
    onFault('kill', server.name)
    await server.kill()
    await pause(prng.below(DOWN_MS_MAX))
    onFault('start', server.name)
    server.start()
    // However slow the machine is: who is killed next had its chance to work.
    await server.up()
  }
}
