import {
  type ClientEvent,
  type EventType,
  type History,
  type HistoryEvent,
  MalformedHistoryError,
  type Operation,
  type Scalar,
} from '../events.ts'
import { type Edn, type EdnMap, EdnString, parseEdn } from './parse-edn.ts'

const TYPES: readonly (string | undefined)[] = [':invoke', ':ok', ':fail', ':info']

/**
 * Reads a list-append history that Jepsen or `ednLines` wrote: one map an event, alone or all within one vector.
 *
 * Keywords that are keys or elements become texts with their colon. Events of the nemesis become faults. A missing `:index` is
 * the place in the file; a missing `:time` is 0. Other keys of the maps are skipped.
 *
 * @throws MalformedHistoryError for anything that is not such a history
 */
export function readEdnHistory(source: string): History {
  const forms = parseEdn(source)
  const [only] = forms
  const maps = forms.length === 1 && Array.isArray(only) ? (only as readonly Edn[]) : forms
  return maps.map((form, at) => {
    if (!(form instanceof Map)) throw new MalformedHistoryError(`form ${at + 1} of the history is no map`)
    return eventOf(form as EdnMap, at)
  })
}

function eventOf(map: EdnMap, at: number): HistoryEvent {
  const index = numberOr(map.get(':index'), at)
  const timeNs = numberOr(map.get(':time'), 0)
  const process = map.get(':process')
  if (typeof process !== 'number') {
    const f = map.get(':f')
    return {
      kind: 'fault',
      index,
      timeNs,
      f: typeof f === 'string' ? f.replace(/^:/, '') : 'unknown',
      value: shown(map),
    }
  }
  const type = map.get(':type')
  if (typeof type !== 'string' || !TYPES.includes(type))
    throw wrong(index, `:type must be :invoke, :ok, :fail or :info, but is ${String(type)}`)
  const f = map.get(':f')
  if (f !== ':txn') throw wrong(index, `:f must be :txn, but is ${String(f)}`)
  const event: ClientEvent = {
    kind: 'client',
    index,
    timeNs,
    process,
    type: type.slice(1) as EventType,
    operations: operationsOf(map.get(':value'), index, type),
  }
  const error = map.get(':error')
  return error === undefined || error === null ? event : { ...event, error: wordsOf(error) }
}

function operationsOf(value: Edn | undefined, index: number, type: string): readonly Operation[] {
  // Jepsen may drop the value of what failed.
  if ((value === null || value === undefined) && (type === ':fail' || type === ':info')) return []
  if (!Array.isArray(value)) throw wrong(index, ':value must be a vector of operations')
  return (value as readonly Edn[]).map((form) => operationOf(form, index, type))
}

function operationOf(form: Edn, index: number, type: string): Operation {
  if (!Array.isArray(form)) throw wrong(index, 'an operation must be a vector')
  const [f, key, value] = form as readonly Edn[]
  if (f === ':append') return { kind: 'append', key: scalarOf(key, index), value: scalarOf(value, index) }
  if (f !== ':r') throw wrong(index, `an operation must be :append or :r, but is ${String(f)}`)
  if (value === null || value === undefined) {
    // Whoever found no list says so with nil.
    return { kind: 'read', key: scalarOf(key, index), list: type === ':ok' ? [] : undefined }
  }
  if (!Array.isArray(value)) throw wrong(index, 'what was read must be a vector or nil')
  return {
    kind: 'read',
    key: scalarOf(key, index),
    list: (value as readonly Edn[]).map((item) => scalarOf(item, index)),
  }
}

function scalarOf(form: Edn | undefined, index: number): Scalar {
  if (typeof form === 'number' || typeof form === 'string') return form
  if (form instanceof EdnString) return form.text
  throw wrong(index, 'a key or an element must be a number, a text or a keyword')
}

function numberOr(form: Edn | undefined, other: number): number {
  return typeof form === 'number' ? form : other
}

function shown(map: EdnMap): string {
  const value = map.get(':value')
  return value === undefined || value === null ? '' : wordsOf(value)
}

function wordsOf(form: Edn): string {
  if (form instanceof EdnString) return form.text
  if (Array.isArray(form)) return (form as readonly Edn[]).map(wordsOf).join(' ')
  return form instanceof Map ? 'a map' : String(form)
}

function wrong(index: number, what: string): MalformedHistoryError {
  return new MalformedHistoryError(`the event with index ${index} cannot be read: ${what}`)
}
