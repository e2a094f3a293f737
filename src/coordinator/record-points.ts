import { type FailpointName, hit } from '../base/index.ts'
import type { LedgerCommand } from '../txn/index.ts'

/** Where a record is on its way from the leader into the ledger. */
export type RecordMoment = 'before-propose' | 'proposed' | 'before-apply' | 'applied'

const NAMES = {
  prepared: 'prepared',
  commit: 'commit',
  aborted: 'aborted',
  completed: 'completed',
  watermark: 'watermark',
  heuristic: 'heuristic',
  settle: 'operator',
  settled: 'operator',
  acknowledged: 'operator',
  // It is lifted once in the life of a fleet that lost a part of its log.
  guard: undefined,
} as const satisfies Record<LedgerCommand['kind'], string | undefined>

/** The crash points of a record of the log. Costs something: call it only while failpoints are armed. */
export function hitRecord(command: LedgerCommand, moment: RecordMoment): void {
  const name = NAMES[command.kind]
  if (name !== undefined) hit(`coordinator.${name}.${moment}` satisfies FailpointName, txidOf(command))
}

function txidOf(command: LedgerCommand): string | undefined {
  return 'txid' in command ? command.txid : undefined
}
