import { type History, HistoryRecorder } from '../../src/history/index.ts'
import type { Life } from './applications.ts'
import { type JournalLine, readJournal } from './journal.ts'

/** What was done to the system, with the time before it was done. */
export interface Fault {
  readonly timeNs: number
  readonly f: string
  readonly value: string
}

export interface Recordings {
  readonly lives: readonly Life[]
  readonly workers: number
  readonly slots: number
  readonly faults: readonly Fault[]
  /** The stage's own reads at the end; their workers count from 0, in threads of their own. */
  readonly finals: readonly JournalLine[]
  readonly finalThreads: number
}

type Entry =
  | {
      readonly timeNs: number
      readonly rank: 0 | 2
      readonly kind: 'line'
      readonly thread: number
      readonly line: JournalLine
    }
  | { readonly timeNs: number; readonly rank: 1; readonly kind: 'fault'; readonly fault: Fault }
  | { readonly timeNs: number; readonly rank: 3; readonly kind: 'death'; readonly threads: readonly number[] }

/**
 * One history of all processes' journals: they have one clock. Of two events of one time beginnings come first, so that nobody
 * is said to have been over before another began unless that is sure.
 */
export function recordHistory({ lives, workers, slots, faults, finals, finalThreads }: Recordings): History {
  const entries: Entry[] = faults.map((fault) => ({ timeNs: fault.timeNs, rank: 1, kind: 'fault', fault }))
  for (const { slot, journal, endedNs } of lives) {
    const first = slot * workers
    entries.push(...readJournal(journal).map((line) => entryOf(line, first + line.worker)))
    const threads = Array.from({ length: workers }, (_, at) => first + at)
    if (endedNs !== undefined) entries.push({ timeNs: endedNs, rank: 3, kind: 'death', threads })
  }
  entries.push(...finals.map((line) => entryOf(line, slots * workers + line.worker)))
  entries.sort((a, b) => a.timeNs - b.timeNs || a.rank - b.rank)
  const recorder = new HistoryRecorder(slots * workers + finalThreads)
  for (const entry of entries) {
    if (entry.kind === 'fault') recorder.fault(entry.timeNs, entry.fault.f, entry.fault.value)
    else if (entry.kind === 'death') recorder.abandon(entry.threads, entry.timeNs, 'its process was killed')
    else writeDown(recorder, entry.thread, entry.line)
  }
  return recorder.events
}

function entryOf(line: JournalLine, thread: number): Entry {
  return { timeNs: line.timeNs, rank: line.type === 'invoke' ? 0 : 2, kind: 'line', thread, line }
}

function writeDown(recorder: HistoryRecorder, thread: number, { timeNs, type, operations, error }: JournalLine): void {
  if (type === 'invoke') recorder.invoke(thread, timeNs, operations ?? [])
  else recorder.complete(thread, timeNs, type, operations, error)
}
