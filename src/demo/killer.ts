import type { Prng } from '../base/index.ts'
import type { NodeStatus } from '../server/index.ts'
import type { Applications } from './applications.ts'
import type { Fleet } from './fleet.ts'
import type { Tally, VictimKind } from './tally.ts'

/** How long what was killed stays down, milliseconds, at most. */
const DOWN_MS_MAX = 1_500

/** How often something dies, milliseconds. */
export type KillSchedule =
  /** Each kind has its own pace. */
  | {
      readonly leaderEveryMs: number
      readonly applicationEveryMs: number
      readonly participantEveryMs: number
      readonly databaseEveryMs: number
    }
  /** One of all that run, whatever it is. */
  | { readonly anyEveryMs: number }

/** Something that is killed with SIGKILL and started again. */
export interface Victim {
  /** As people call it. */
  readonly name: string
  readonly kind: Exclude<VictimKind, 'leader' | 'application'>
  readonly isRunning: boolean
  kill(): Promise<void>
  start(): Promise<void> | void
}

/** What the killer works on. */
interface KillerParts {
  readonly fleet: Fleet
  /** All but the applications. */
  readonly victims: readonly Victim[]
  readonly applications: Applications
  readonly tally: Tally
  readonly prng: Prng
  readonly statuses: () => readonly NodeStatus[]
  readonly say: (line: string) => void
  /** Something could not be started again. */
  readonly onFailure: (line: string) => void
}

/** Kills processes with SIGKILL while they work, and brings them back. */
export class Killer {
  readonly #parts: KillerParts
  readonly #schedule: KillSchedule
  readonly #timers = new Set<NodeJS.Timeout>()
  /** Victims that are being started again. */
  readonly #rising = new Set<Promise<void>>()
  #stopped = false
  #busy = Promise.resolve()

  constructor(parts: KillerParts, schedule: KillSchedule) {
    this.#parts = parts
    this.#schedule = schedule
  }

  start(): void {
    const schedule = this.#schedule
    if ('anyEveryMs' in schedule) return this.#every(schedule.anyEveryMs, () => this.#killAny())
    this.#every(schedule.leaderEveryMs, () => this.#killLeader())
    this.#every(schedule.applicationEveryMs, () => this.#killApplication())
    this.#every(schedule.participantEveryMs, () => this.#killOneOf('participant'))
    this.#every(schedule.databaseEveryMs, () => this.#killOneOf('database'))
  }

  /** Nothing is killed any more once this resolves, and all that is down is started again. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const timer of this.#timers) clearTimeout(timer)
    await this.#busy
    await Promise.all(this.#rising)
    for (const victim of this.#parts.victims) if (!victim.isRunning) await victim.start()
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
    if (this.#stopped) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      task()
    }, delayMs)
    this.#timers.add(timer)
  }

  #queue(task: () => Promise<void>): void {
    const unlessStopped = async (): Promise<void> => (this.#stopped ? undefined : await task())
    this.#busy = this.#busy.then(unlessStopped, unlessStopped)
  }

  /** When one dies after the other they come back sooner: a trip needs four companies and two coordinators at a time. */
  get #downMs(): number {
    const schedule = this.#schedule
    return 'anyEveryMs' in schedule ? Math.min(DOWN_MS_MAX, schedule.anyEveryMs / 3) : DOWN_MS_MAX
  }

  async #killAny(): Promise<void> {
    const { prng, victims, applications } = this.#parts
    const running = victims.filter(({ isRunning }) => isRunning)
    const chosen = prng.between(0, running.length + applications.names.length - 1)
    const victim = running[chosen]
    await (victim === undefined ? this.#killApplication() : this.#kill(victim))
  }

  async #killOneOf(kind: Victim['kind']): Promise<void> {
    const running = this.#parts.victims.filter((victim) => victim.kind === kind && victim.isRunning)
    if (running.length > 0) await this.#kill(this.#parts.prng.pick(running))
  }

  async #killLeader(): Promise<void> {
    const leader = this.#leader()
    // Without a leader there is nothing to kill; the next turn comes soon.
    if (leader === undefined) return
    const { name } = this.#parts.fleet.partOf(leader.node)
    await this.#kill(this.#parts.victims.find((victim) => victim.name === name)!)
  }

  /** The leader, as it was heard last, if it runs. */
  #leader(): NodeStatus | undefined {
    const { statuses, fleet } = this.#parts
    const leader = statuses().find((status) => status.serving)
    return leader !== undefined && fleet.partOf(leader.node).isRunning ? leader : undefined
  }

  async #kill(victim: Victim): Promise<void> {
    const { fleet, tally, say } = this.#parts
    const leader = this.#leader()
    if (leader !== undefined && fleet.partOf(leader.node).name === victim.name) {
      say(`kill -9 ${victim.name}, the leader of term ${leader.term}`)
      tally.leaderKilled(Date.now())
    } else {
      say(`kill -9 ${victim.name}`)
      tally.kills[victim.kind]++
    }
    await victim.kill()
    this.#later(this.#downMs, () => this.#raise(victim))
  }

  #raise(victim: Victim): void {
    const { say, onFailure } = this.#parts
    const rising = (async () => {
      await victim.start()
      say(`${victim.name} is started again`)
    })().catch((error: Error) => onFailure(`${victim.name} could not be started again: ${error.message}`))
    this.#rising.add(rising)
    void rising.then(() => this.#rising.delete(rising))
  }

  async #killApplication(): Promise<void> {
    const { applications, tally, prng, say } = this.#parts
    const name = await applications.killOne(prng)
    if (name === undefined) return
    tally.kills.application++
    say(`kill -9 application ${name}, in the middle of its bookings`)
  }
}
