import { type Overrides, planWith } from '../faults/overrides.ts'
import { simulate } from '../run/simulation.ts'
import { type PlainReport, plainReport } from './plain-report.ts'

/** What a worker process is asked for. */
export interface WorkerRequest {
  readonly seed: number
  readonly overrides: Overrides
}

/** What it answers: the report, or what the simulator itself died of. */
export type WorkerAnswer =
  | { readonly kind: 'done'; readonly report: PlainReport; readonly realMs: number }
  | { readonly kind: 'broken'; readonly seed: number; readonly error: string }

// Ctrl-C reaches the whole terminal group: the campaign says what was done, and then ends its workers.
process.on('SIGINT', () => {})
process.on('disconnect', () => process.exit())
process.on('message', ({ seed, overrides }: WorkerRequest) => {
  const startMs = performance.now()
  simulate(planWith(seed, overrides)).then(
    (report) =>
      answer({ kind: 'done', report: plainReport(report, overrides.profile), realMs: performance.now() - startMs }),
    (error: unknown) =>
      answer({ kind: 'broken', seed, error: error instanceof Error ? (error.stack ?? '') : String(error) }),
  )
})

function answer(message: WorkerAnswer): void {
  process.send?.(message)
}
