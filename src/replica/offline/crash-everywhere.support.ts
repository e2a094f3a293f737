import type { MemoryDisk } from '../../wal/index.ts'
import { eventually } from '../fleet.support.ts'

export interface CrashOptions {
  /** From one crash to the next. Default: one operation. */
  readonly stride?: number
  /** What each draw says of that which was not synced, see MemoryDisk.crash. Default: 0 and 1 in turn. */
  readonly draw?: (step: number) => number
}

/**
 * Does `work` on a copy of `begin` that dies at its first operation, then on one that dies at its second, and so on until
 * one lives to see the end. Calls `judge` with what each of them leaves when the power comes back.
 *
 * Returns how many operations the work takes, up to the stride.
 */
export async function crashEverywhere(
  begin: MemoryDisk,
  work: (disk: MemoryDisk) => Promise<unknown>,
  judge: (left: MemoryDisk, isDone: boolean) => Promise<void>,
  { stride = 1, draw = (step) => step % 2 }: CrashOptions = {},
): Promise<number> {
  for (let step = 0; ; step += stride) {
    const disk = begin.crash(() => 1, { fate: ({ index }) => (index >= step ? 'crash' : 'done') })
    const worked = work(disk).then(
      () => 'done',
      () => 'failed',
    )
    const isDone = (await Promise.race([worked, eventually('it crashed', () => disk.dead && 'crashed')])) === 'done'
    await judge(
      disk.crash(() => draw(step)),
      isDone,
    )
    if (isDone) return step
  }
}
