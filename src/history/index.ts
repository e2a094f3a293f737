export { checkHistory } from './checker/check.ts'
export type { Anomaly, AnomalyKind, Verdict } from './checker/verdict.ts'
export { readEdnHistory } from './edn/read-history.ts'
export { ednLines } from './edn/write-history.ts'
export {
  type EventType,
  type History,
  type HistoryEvent,
  MalformedHistoryError,
  type Operation,
  type Scalar,
} from './events.ts'
export { porcupineLines } from './porcupine.ts'
export { HistoryRecorder } from './recorder.ts'
export { verdictJson, verdictText } from './report.ts'
