import { type Clock, Prng, parseClusterId, parseNodeId, type Timer } from '../base/index.ts'
import type { WalFailedError } from './errors.ts'
import type { Position } from './format.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { Fate, MemoryDiskOptions } from './memory-faults.ts'
import type { WalIdentity } from './segment.ts'
import { Wal } from './wal.ts'
import type { WalOptions } from './wal-options.ts'

/** Shared by this folder's tests. @internal */
export const DIRECTORY = '/log'
export const IDENTITY: WalIdentity = { clusterId: parseClusterId('trips'), nodeId: parseNodeId(1) }
export const SMALL_SEGMENT_BYTES = 8192

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #now = 0
  #timers: { at: number; task: () => void }[] = []

  monotonicMs = () => this.#now
  wallMs = () => this.#now

  after(delayMs: number, task: () => void): Timer {
    const timer = { at: this.#now + delayMs, task }
    this.#timers.push(timer)
    return { timer }
  }

  every(): Timer {
    throw new Error('the log does not use it')
  }

  cancel({ timer }: Timer): void {
    this.#timers = this.#timers.filter((other) => other !== timer)
  }

  advance(ms: number): void {
    this.#now += ms
    const due = this.#timers.filter(({ at }) => at <= this.#now)
    this.#timers = this.#timers.filter(({ at }) => at > this.#now)
    for (const { task } of due) task()
  }
}

/** An open log whose records are texts, with all that it told. */
export class TextLog {
  readonly wal: Wal
  readonly replayed: readonly string[]
  readonly clock: ManualClock
  readonly failures: WalFailedError[]
  readonly space: boolean[]
  /** Texts in the order in which they became durable. */
  readonly durable: string[] = []
  readonly #waiting = new Set<(error: Error) => void>()

  private constructor(wal: Wal, parts: Pick<TextLog, 'replayed' | 'clock' | 'failures' | 'space'>) {
    this.wal = wal
    this.replayed = parts.replayed
    this.clock = parts.clock
    this.failures = parts.failures
    this.space = parts.space
  }

  static async open(
    disk: WalOptions['disk'],
    overrides: Partial<WalOptions> = {},
    onPosition: (position: Position) => void = () => {},
  ): Promise<TextLog> {
    const parts = {
      replayed: [] as string[],
      clock: new ManualClock(),
      failures: [] as WalFailedError[],
      space: [] as boolean[],
    }
    let log: TextLog | undefined
    const wal = await Wal.open({
      disk,
      directory: DIRECTORY,
      identity: IDENTITY,
      segmentBytesMax: SMALL_SEGMENT_BYTES,
      clock: parts.clock,
      defer: queueMicrotask,
      random: () => Buffer.alloc(16, 9),
      onRecord: ({ payload, position }) => {
        parts.replayed.push(payload.toString())
        onPosition(position)
      },
      onFailure: (error) => {
        parts.failures.push(error)
        log?.fail(error)
      },
      onSpace: (low) => parts.space.push(low),
      ...overrides,
    })
    log = new TextLog(wal, parts)
    return log
  }

  /** Appends texts as one append; resolves when they are durable, rejects when the log fails. */
  append(...texts: string[]): Promise<void> {
    return this.place(...texts).done
  }

  /** As append, with the positions. */
  place(...texts: string[]): { positions: readonly Position[]; done: Promise<void> } {
    let resolve = (): void => {}
    const done = new Promise<void>((onDone, onError) => {
      this.#waiting.add(onError)
      resolve = () => {
        this.#waiting.delete(onError)
        this.durable.push(...texts)
        onDone()
      }
    })
    done.catch(() => undefined)
    const records = texts.map((text) => ({ type: 1, payload: Buffer.from(text) }))
    return { positions: this.wal.append(records, () => resolve()), done }
  }

  /** Appends texts one by one, each when the one before is durable; resolves with their positions. */
  async appendEach(texts: readonly string[]): Promise<Position[]> {
    const all: Position[] = []
    for (const text of texts) {
      const { positions, done } = this.place(text)
      all.push(...positions)
      await done
    }
    return all
  }

  fail(error: Error): void {
    for (const reject of this.#waiting) reject(error)
    this.#waiting.clear()
  }
}

/** Lets everything that is under way on a memory disk come to its end. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** The disk of a log that holds these texts, and whose process died. */
export async function diskHolding(texts: readonly string[]): Promise<MemoryDisk> {
  const disk = new MemoryDisk()
  const log = await TextLog.open(disk)
  await log.appendEach(texts)
  await settle()
  return disk.kill()
}

/** A disk that meets `fate` at operation `index`. */
export function diskFailingAt(index: number, fate: Fate, options: MemoryDiskOptions = {}): MemoryDisk {
  return new MemoryDisk({ ...options, fate: (operation) => (operation.index === index ? fate : 'done') })
}

export function drawFrom(seed: number): (bound: number) => number {
  const prng = new Prng(seed)
  return (bound) => prng.below(bound)
}

/** Texts `a0`, `a1`, … of the given length. */
export function texts(count: number, length = 8, prefix = 'a'): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`.padEnd(length, '.'))
}
