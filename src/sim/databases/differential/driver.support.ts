import { Prng } from '../../../base/index.ts'

/** What a statement came to, in words that two databases can be compared by. */
export type Outcome = string

/** One database with sessions that are known by their letters. */
export interface Party {
  /** A new wait may still be a deadlock for so long. */
  readonly deadlockMs: number
  /** Sends a statement; settles with its outcome, never rejects. */
  send(session: string, statement: Statement): Promise<Outcome>
  /** Whether the session's statement waits for a lock. */
  isWaiting(session: string): Promise<boolean>
  /** Closes the session's connection, and returns when the server has noticed. */
  disconnect(session: string): Promise<void>
  crash(): Promise<void>
  /** What is committed and what is prepared. */
  state(): Promise<unknown>
  /** As at first. */
  reset(): Promise<void>
}

export interface Statement {
  readonly text: string
  readonly values: readonly (string | number)[]
}

export type Step =
  | { readonly kind: 'send'; readonly session: string; readonly statement: Statement }
  | { readonly kind: 'disconnect'; readonly session: string }
  | { readonly kind: 'crash' }

/** A story: each session's outcomes in order, and the state behind them. */
export interface Told {
  readonly outcomes: Readonly<Record<string, readonly Outcome[]>>
  readonly state: unknown
}

export const SESSIONS = ['a', 'b', 'c']

const LOOK_MS = 5

/** Draws steps against `party` as it goes: a session that waits for a lock is sent nothing more until it goes on. */
export async function draw(
  party: Party,
  seed: number,
  length: number,
  next: (random: Prng) => Step,
): Promise<{ readonly steps: readonly Step[]; readonly told: Told }> {
  const random = new Prng(seed)
  const teller = new Teller(party)
  const steps: Step[] = []
  await party.reset()
  while (steps.length < length) {
    const step = teller.isStuck ? ({ kind: 'crash' } as const) : next(random)
    if (step.kind !== 'crash' && teller.isBusy(step.session)) continue
    steps.push(step)
    await teller.take(step)
  }
  return { steps, told: await teller.end() }
}

/** Plays steps to another party. */
export async function replay(party: Party, steps: readonly Step[]): Promise<Told> {
  const teller = new Teller(party)
  await party.reset()
  for (const step of steps) await teller.take(step)
  return teller.end()
}

class Teller {
  readonly #party: Party
  readonly #outcomes: Record<string, Outcome[]> = {}
  readonly #busy = new Map<string, Promise<void>>()

  constructor(party: Party) {
    this.#party = party
    for (const session of SESSIONS) this.#outcomes[session] = []
  }

  isBusy(session: string): boolean {
    return this.#busy.has(session)
  }

  /** Everybody waits, for branches that are prepared: only a crash of the server goes on from here. */
  get isStuck(): boolean {
    return this.#busy.size === SESSIONS.length
  }

  async take(step: Step): Promise<void> {
    if (step.kind === 'crash') {
      await this.#party.crash()
      await Promise.all(this.#busy.values())
      return
    }
    if (step.kind === 'disconnect') {
      await this.#party.disconnect(step.session)
      this.#outcomes[step.session]!.push('disconnected')
    } else {
      this.#send(step.session, step.statement)
      await this.#rest(step.session, this.#party.deadlockMs)
    }
    // Whom this step let go has its answer now.
    for (const session of SESSIONS) await this.#rest(session, 0)
  }

  async end(): Promise<Told> {
    // Whoever holds a lock lets go first; whoever waits comes after.
    for (let left = SESSIONS; left.length > 0; ) {
      if (left.every((session) => this.isBusy(session))) await this.take({ kind: 'crash' })
      const free = left.filter((session) => !this.isBusy(session))
      for (const session of free) await this.#party.disconnect(session)
      left = left.filter((session) => !free.includes(session))
      for (const session of left) await this.#rest(session, 0)
    }
    return { outcomes: this.#outcomes, state: await this.#party.state() }
  }

  #send(session: string, statement: Statement): void {
    const outcomes = this.#outcomes[session]!
    const sent = this.#party.send(session, statement).then((outcome) => {
      outcomes.push(`${statement.text} -> ${outcome}`)
      this.#busy.delete(session)
    })
    this.#busy.set(session, sent)
  }

  /** Until the session's statement is over, or waits for a lock and nothing ends that. */
  async #rest(session: string, patienceMs: number): Promise<void> {
    for (let waitingMs = 0; this.isBusy(session); ) {
      await Promise.race([this.#busy.get(session), new Promise((resolve) => setTimeout(resolve, LOOK_MS))])
      if (!this.isBusy(session)) return
      waitingMs = (await this.#party.isWaiting(session)) ? waitingMs + LOOK_MS : 0
      if (waitingMs > patienceMs) return
    }
  }
}
