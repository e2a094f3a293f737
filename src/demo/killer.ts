import type { Prng } from '../base/index.ts'
import type { NodeStatus } from '../server/index.ts'
import type { Applications } from './applications.ts'
import type { Fleet } from './fleet.ts'
import type { Tally } from './tally.ts'

/** How often something dies, milliseconds. */
export interface KillSchedule {
  readonly leaderEveryMs: number
  readonly applicationEveryMs: number
  /** How long a killed coordinator stays down. */
  readonly downMs: number
}

/** What the killer works on. */
interface KillerParts {
  readonly fleet: Fleet
  readonly applications: Applications
  readonly tally: Tally
  readonly prng: Prng
  readonly statuses: () => readonly NodeStatus[]
  readonly say: (line: string) => void
}

/** Kills the leader and the applications with SIGKILL while they work, and brings the coordinators back. */
export class Killer {
  readonly #parts: KillerParts
  readonly #schedule: KillSchedule
  #timers: NodeJS.Timeout[] = []
  #stopped = false
  #busy = Promise.resolve()

  constructor(parts: KillerParts, schedule: KillSchedule) {
    this.#parts = parts
    this.#schedule = schedule
  }

  start(): void {
    const { leaderEveryMs, applicationEveryMs } = this.#schedule
    this.#every(leaderEveryMs, () => this.#killLeader())
    this.#every(applicationEveryMs, () => this.#killApplication())
  }

  /** Nothing is killed or started any more once this resolves: what is down then stays down. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const timer of this.#timers) clearTimeout(timer)
    await this.#busy
  }

  /** The first turn comes after half a period: a viewer sees a death soon, and the end of a run is no kill. */
  #every(periodMs: number, task: () => Promise<void>): void {
    const turn = (): void => {
      this.#queue(task)
      this.#later(periodMs, turn)
    }
    this.#later(periodMs / 2, turn)
  }

  #later(delayMs: number, task: () => void): void {
    if (!this.#stopped) this.#timers.push(setTimeout(task, delayMs))
  }

  #queue(task: () => Promise<void>): void {
    const unlessStopped = async (): Promise<void> => (this.#stopped ? undefined : await task())
    this.#busy = this.#busy.then(unlessStopped, unlessStopped)
  }

  async #killLeader(): Promise<void> {
    const { fleet, tally, say } = this.#parts
    const leader = this.#parts.statuses().find((status) => status.serving)
    // Without a leader there is nothing to kill; the next turn comes soon.
    if (leader === undefined || !fleet.isRunning(leader.node)) return
    say(`kill -9 coordinator ${leader.node}, the leader of term ${leader.term}`)
    tally.leaderKilled(Date.now())
    await fleet.kill(leader.node)
    this.#later(this.#schedule.downMs, () => {
      fleet.restart(leader.node)
      say(`coordinator ${leader.node} is started again`)
    })
  }

  async #killApplication(): Promise<void> {
    const { applications, tally, prng, say } = this.#parts
    const name = await applications.killOne(prng)
    if (name === undefined) return
    tally.clientKills++
    say(`kill -9 application ${name}, in the middle of its bookings`)
  }
}
