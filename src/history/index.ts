export { checkHistory } from './checker/check.ts'
export type { Anomaly, AnomalyKind, Verdict } from './checker/verdict.ts'
export {
  type EventType,
  type History,
  type HistoryEvent,
  MalformedHistoryError,
  type Operation,
  type Scalar,
} from './events.ts'
export { HistoryRecorder } from './recorder.ts'
export { verdictJson, verdictText } from './report.ts'
