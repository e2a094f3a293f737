import { openSync, readFileSync, writeSync } from 'node:fs'
import type { EventType, Operation } from '../../src/history/index.ts'

/** One line of an application's journal. */
export interface JournalLine {
  readonly timeNs: number
  readonly worker: number
  readonly type: EventType
  /** Of an invocation, and with what was read of what is `ok`. */
  readonly operations?: readonly Operation[]
  readonly error?: string
}

/** The moment, on the clock that all processes of a machine share, since `epoch` nanoseconds. */
export function nowNs(epoch: bigint): number {
  return Number(process.hrtime.bigint() - epoch)
}

/**
 * What an application asked for and heard, in a file. Each line is with the kernel before the call returns, so kill -9 takes none
 * of them away: what is not in a journal was never asked for.
 */
export class Journal {
  readonly #file: number
  readonly #epoch: bigint
  #lastNs = -1

  constructor(path: string, epoch: bigint) {
    this.#file = openSync(path, 'a')
    this.#epoch = epoch
  }

  write(line: Omit<JournalLine, 'timeNs'>): void {
    // No two lines of a process have one time: their order is known.
    this.#lastNs = Math.max(this.#lastNs + 1, nowNs(this.#epoch))
    writeSync(this.#file, `${JSON.stringify({ timeNs: this.#lastNs, ...line })}\n`)
  }
}

/** What is whole of a journal: the last line may be torn, and then what it tells of was not yet asked for, or is unknown. */
export function readJournal(path: string): readonly JournalLine[] {
  const lines = readFileSync(path, 'utf8').split('\n')
  return lines.slice(0, -1).map((line) => JSON.parse(line) as JournalLine)
}
