import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Prng } from '../../src/base/index.ts'
import type { History } from '../../src/history/index.ts'
import { Applications } from './applications.ts'
import { FINAL_THREADS, readAll } from './final-reads.ts'
import { nowNs } from './journal.ts'
import { Killer } from './killer.ts'
import { APPENDS_PER_GENERATION } from './plan.ts'
import { type Fault, recordHistory } from './record.ts'
import { Stage } from './stage.ts'

const SLOTS = 2
const WORKERS = 6
/** Longer than any transaction takes. */
const STOP_MS = 15_000
const TURN_MS = 50

export interface RunOptions {
  /** Where data, logs and journals go. */
  readonly directory: string
  readonly seconds: number
  /** It goes on beyond its time until so many appends were acknowledged and each kind of victim was killed, ten times as long at most. */
  readonly appendsMin?: number
  readonly seed: number
  /** The mean time between two kills. Undefined: nobody is killed. */
  readonly killEveryMs: number | undefined
  /** Node's flags for the participants: a test breaks them by it. */
  readonly participantFlags?: readonly string[]
  /** Told now and then how far it is. */
  readonly onProgress?: (line: string) => void
  /** Ends the run early. */
  readonly signal?: AbortSignal
}

export interface Run {
  readonly history: History
  readonly kills: Killer['kills']
  /** Sets of keys that were in use, one after the other. */
  readonly generations: number
}

/**
 * Runs the list-append workload: applications in processes of their own over a fleet of three coordinators and two
 * participants, all of which are killed meanwhile; in the end everything runs again, and all lists are read.
 */
export async function runWorkload(options: RunOptions): Promise<Run> {
  const { directory, seconds, seed, killEveryMs, participantFlags = [], appendsMin = 0 } = options
  const { onProgress = () => {}, signal } = options
  const journals = join(directory, 'journals')
  mkdirSync(journals, { recursive: true })
  const stage = await Stage.start(directory, participantFlags)
  const epoch = process.hrtime.bigint()
  const { addresses: coordinators, stores } = stage
  const faults: Fault[] = []
  let [appends, generation] = [0, 0]
  const applications = new Applications({
    directory: journals,
    slots: SLOTS,
    epoch,
    common: { coordinators, stores, workers: WORKERS, seed },
    onAppends: (count) => {
      appends += count
      const due = Math.floor(appends / APPENDS_PER_GENERATION)
      if (due <= generation) return
      generation++
      applications.use(generation)
    },
  })
  const killer = new Killer({
    stage,
    applications,
    slots: SLOTS,
    prng: new Prng(seed),
    onFault: (f, value) => {
      faults.push({ timeNs: nowNs(epoch), f, value })
      onProgress(`${f} ${value}; ${appends} appends so far`)
    },
  })
  try {
    await applications.startAll()
    const killing = killEveryMs === undefined ? undefined : killer.run(killEveryMs)
    const isEnough = (): boolean =>
      appends >= appendsMin && (killEveryMs === undefined || Object.values(killer.kills).every((count) => count > 0))
    for (let leftMs = seconds * 10_000; leftMs > 0; leftMs -= TURN_MS) {
      if (signal?.aborted === true || (leftMs <= seconds * 9_000 && isEnough())) break
      await pause(TURN_MS)
    }
    killer.stop()
    await killing
    await stage.whole()
    await applications.stop(STOP_MS)
    if (applications.failure !== undefined) throw new Error(applications.failure)
    onProgress('everything runs again; all lists are read')
    await stage.settled()
    const finals = await readAll(stage, generation + 1, epoch)
    const { lives } = applications
    const history = recordHistory({
      lives,
      workers: WORKERS,
      slots: SLOTS,
      faults,
      finals,
      finalThreads: FINAL_THREADS,
    })
    return { history, kills: killer.kills, generations: generation + 1 }
  } finally {
    await applications.stop(0)
    await stage.stop()
  }
}
