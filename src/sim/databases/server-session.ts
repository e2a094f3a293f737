import { type Clock, sleep, type Timer } from '../../base/index.ts'
import type { Channel } from '../kernel/types.ts'
import type { Host, Mark, ServerFaults } from './host.ts'
import { KEEPALIVE_MS, PING, type PONG, SILENCE_MAX_MS } from './wire.ts'

/** What a session needs of its server. */
export interface SessionParts {
  readonly host: Host
  readonly channel: Channel
  readonly faults: ServerFaults
  readonly mark: Mark
  readonly onEnd: () => void
}

/**
 * The server's end of one connection: carries out one request after the other.
 *
 * As in the real servers, a session that is at work does not notice that its client has gone: it finishes what it does
 * and what has arrived before, and only then sees the end.
 */
export abstract class ServerSession<Request, Answer> {
  protected readonly host: Host
  protected readonly faults: ServerFaults
  protected readonly mark: Mark
  readonly #channel: Channel
  readonly #onEnd: () => void
  readonly #requests: Request[] = []
  #isBusy = false
  #isOver = false
  #clientIsGone = false
  #heardMs: number
  readonly #keepalive: Timer

  constructor({ host, channel, faults, mark, onEnd }: SessionParts) {
    this.host = host
    this.faults = faults
    this.mark = mark
    this.#channel = channel
    this.#onEnd = onEnd
    this.#heardMs = host.clock.monotonicMs()
    this.#keepalive = host.clock.every(KEEPALIVE_MS, () => this.#askClient())
    channel.onMessage = (value) => this.#receive(value as Request | typeof PONG)
    channel.onClose = () => this.#lostClient()
  }

  protected get clock(): Clock {
    return this.host.clock
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Carries out one request. Must not throw. Undefined: there is nothing to answer. */
  protected abstract carryOut(request: Request): Promise<Answer | undefined>

  /** The client is gone for good: end what is not prepared. */
  protected abstract cleanUp(): void

  /** The words with which an administrator ends a session. */
  protected abstract farewell(): Answer

  protected sleep(delayMs: number): Promise<void> {
    return sleep(this.clock, delayMs)
  }

  protected send(answer: Answer): void {
    if (!this.#isOver) this.#channel.send(answer)
  }

  /** Ends the session from outside or by itself. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.clock.cancel(this.#keepalive)
    this.#channel.close()
    this.cleanUp()
    this.#onEnd()
  }

  #receive(message: Request | typeof PONG): void {
    if (this.#isOver) return
    this.#heardMs = this.clock.monotonicMs()
    if (isPong(message)) return
    this.#requests.push(message)
    if (!this.#isBusy) void this.#work()
  }

  /** A machine without power says nothing, not even that it is gone. */
  #askClient(): void {
    if (this.#clientIsGone) return
    if (this.clock.monotonicMs() - this.#heardMs < SILENCE_MAX_MS) return this.#channel.send(PING)
    this.mark('database: a client fell silent for ever')
    this.#channel.close()
    this.#lostClient()
  }

  #lostClient(): void {
    if (this.#clientIsGone) return
    this.#clientIsGone = true
    if (this.#isBusy) this.mark('database: its client went away in the middle of a statement')
    else this.end()
  }

  async #work(): Promise<void> {
    this.#isBusy = true
    for (let request = this.#requests.shift(); request !== undefined; request = this.#requests.shift()) {
      await this.#serve(request)
      if (this.#isOver || !this.host.alive) return
    }
    this.#isBusy = false
    if (this.#clientIsGone) this.end()
  }

  async #serve(request: Request): Promise<void> {
    const { faults, host } = this
    const { random } = host
    if (happens(random, faults.slowChance)) {
      await this.sleep(random.between(...faults.slowMs))
      if (this.#isOver) return
    }
    if (happens(random, faults.loseRequestChance)) {
      this.mark('database: connection lost before the statement')
      return this.end()
    }
    if (happens(random, faults.terminateChance)) {
      this.mark('database: session ended by an administrator')
      this.send(this.farewell())
      return this.end()
    }
    const answer = await this.carryOut(request)
    if (this.#isOver) return
    if (happens(random, faults.loseAnswerChance)) {
      this.mark('database: answer lost after the effect')
      return this.end()
    }
    if (answer !== undefined) this.send(answer)
  }
}

/** Draws only where there is something to draw for: faults that are off cost nothing. */
function happens(random: Host['random'], chance: number): boolean {
  return chance > 0 && random.chance(chance)
}

function isPong(message: unknown): message is typeof PONG {
  return (message as { kind?: unknown }).kind === 'pong'
}
