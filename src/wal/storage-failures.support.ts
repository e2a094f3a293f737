import { ConcordatError } from '../base/index.ts'
import { WalDamagedError } from './errors.ts'
import { DIRECTORY, TextLog } from './fixture.support.ts'
import type { Position } from './format.ts'
import type { MemoryDisk } from './memory-disk.ts'
import type { Draw } from './memory-faults.ts'

/** Shared by the tests of storage failures. @internal */

/** What a log was told to keep: the yardstick for what comes back. */
export class Promised {
  /** All that was appended, in order. */
  readonly written: string[] = []
  readonly positions: Position[] = []
  /** Of these, how many were acknowledged. */
  acknowledged = 0
  /** Records before this one may be gone: their removal was asked for. */
  needed = 0

  /** Appends texts one by one, and counts those that became durable. */
  async append(log: TextLog, texts: readonly string[]): Promise<void> {
    for (const text of texts) {
      const { positions, done } = log.place(text)
      this.written.push(text)
      this.positions.push(...positions)
      await done
      this.acknowledged = this.written.length
    }
  }

  /** Asks for the removal of what lies before the last record. */
  async removeAllButLast(log: TextLog): Promise<void> {
    this.needed = this.acknowledged - 1
    await log.wal.removeBefore(this.positions.at(-1)!)
  }

  /** Why `replayed` is not what must be there: all that is needed and acknowledged, maybe more, in order and without a gap. */
  complaint(replayed: readonly string[]): string | undefined {
    if (replayed.length === 0) return this.acknowledged > this.needed ? 'nothing is left' : undefined
    const begin = this.written.indexOf(replayed[0]!)
    if (begin < 0) return `a record that was never written: ${replayed[0]!.slice(0, 20)}`
    if (begin > this.needed) return `it begins with record ${begin}, and ${this.needed} is needed`
    const end = begin + replayed.length
    if (replayed.some((text, index) => text !== this.written[begin + index])) return 'records are not in order'
    if (end < this.acknowledged) return `it ends before record ${end}, and ${this.acknowledged} were acknowledged`
    return undefined
  }
}

/** The records that a log gives back, or its refusal, which must be one of ours. The disk is written on. */
export async function opened(disk: MemoryDisk): Promise<readonly string[] | ConcordatError> {
  try {
    const log = await TextLog.open(disk)
    await log.wal.close()
    return log.replayed
  } catch (error) {
    if (error instanceof ConcordatError) return error
    throw error
  }
}

/** Why a refusal does not tell enough: damage is told with its file and offset. */
export function refusalComplaint(refusal: ConcordatError): string | undefined {
  if (!(refusal instanceof WalDamagedError)) return `it is ${refusal.code}`
  if (!refusal.file.startsWith(`${DIRECTORY}/`) || !(refusal.offset >= 0)) return 'it names no place'
  return refusal.message.includes(`${refusal.file}, byte ${refusal.offset}`) ? undefined : 'its message names no place'
}

/**
 * Every way in which the power may go: each number of names kept, and of each unsynced write nothing, all, each
 * beginning (those around the frames, and then every 99th byte), and each set of sectors.
 */
export function* everyCrash(disk: MemoryDisk): Generator<{ readonly after: MemoryDisk; readonly label: string }> {
  const choices: number[] = []
  for (;;) {
    const bounds: number[] = []
    const draw: Draw = (bound) => {
      const choice = choices[bounds.length] ?? 0
      choices[bounds.length] = choice
      bounds.push(bound)
      return choice
    }
    yield { after: disk.crash(draw), label: `draws ${choices.join(' ')}` }
    choices.length = bounds.length
    while (choices.length > 0 && next(choices.at(-1)!, bounds[choices.length - 1]!) === undefined) choices.pop()
    if (choices.length === 0) return
    choices.push(next(choices.pop()!, bounds[choices.length]!)!)
  }
}

function next(choice: number, bound: number): number | undefined {
  // Of three, the first two mean the same (see MemoryDisk.crash).
  if (bound === 3) return choice === 0 ? 2 : undefined
  const step = bound < 64 || choice < 36 || choice >= bound - 2 ? 1 : Math.min(99, bound - 2 - choice)
  return choice + step < bound ? choice + step : undefined
}
