import { ListAppender } from './carry-out.ts'
import { type JournalLine, nowNs } from './journal.ts'
import { scanPlan } from './plan.ts'
import { Concordat, kv } from './product.ts'
import type { Stage } from './stage.ts'

/** So many read at a time. */
export const FINAL_THREADS = 4
const TRIES_MAX = 30

/**
 * Reads every key that was ever in use, when nothing is killed any more: an append that was acknowledged and then lost shows
 * here at the latest.
 *
 * @throws Error when keys can't be read although everything runs
 */
export async function readAll(stage: Stage, generations: number, epoch: bigint): Promise<readonly JournalLine[]> {
  const concordat = new Concordat({ coordinators: stage.addresses, name: 'final' })
  const stores = stage.stores.map((store) => kv({ ...store, timeoutMs: 5_000 }))
  const appender = new ListAppender(concordat, stores)
  const lines: JournalLine[] = []
  let next = 0
  const read = async (worker: number, generation: number): Promise<void> => {
    const plan = scanPlan(generation)
    for (let tries = 1; ; tries++) {
      lines.push({ timeNs: nowNs(epoch), worker, type: 'invoke', operations: plan.operations })
      const end = await appender.carryOut(plan)
      lines.push({ timeNs: nowNs(epoch), worker, ...end })
      if (end.type === 'ok') return
      if (tries === TRIES_MAX) throw new Error(`generation ${generation} can't be read in the end: ${end.error}`)
    }
  }
  const work = async (worker: number): Promise<void> => {
    while (next < generations) await read(worker, next++)
  }
  try {
    await Promise.all(Array.from({ length: FINAL_THREADS }, (_, worker) => work(worker)))
  } finally {
    await Promise.all([concordat.close(), ...stores.map((store) => store.close())])
  }
  return lines
}
