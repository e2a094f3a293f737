import { expect, test } from 'vitest'
import { MalformedHistoryError, type Operation } from './events.ts'
import { checkHistory } from './index.ts'
import { HistoryRecorder } from './recorder.ts'
import { transactionsOf } from './transactions.ts'

const APPEND: readonly Operation[] = [{ kind: 'append', key: 1, value: 1 }]

test('after an info a thread goes on as another process, and its thread can still be told', () => {
  const recorder = new HistoryRecorder(3)
  recorder.invoke(1, 0, APPEND)
  recorder.complete(1, 1, 'info')
  recorder.invoke(1, 2, [{ kind: 'append', key: 1, value: 2 }])
  recorder.complete(1, 3, 'fail')
  recorder.invoke(1, 4, [{ kind: 'append', key: 1, value: 3 }])
  recorder.abandon([0, 1, 2], 5, 'killed')
  const processes = recorder.events.map((event) => event.kind === 'client' && [event.process, event.type])
  expect(processes).toEqual([
    [1, 'invoke'],
    [1, 'info'],
    [4, 'invoke'],
    [4, 'fail'],
    [4, 'invoke'],
    [4, 'info'],
  ])
  expect(transactionsOf(recorder.events).map(({ outcome }) => outcome)).toEqual(['info', 'fail', 'info'])
})

test('what cannot be a history is not written down', () => {
  const recorder = new HistoryRecorder(1)
  expect(() => recorder.complete(0, 1, 'ok', APPEND)).toThrow('no transaction under way')
  recorder.invoke(0, 5, APPEND)
  expect(() => recorder.invoke(0, 6, APPEND)).toThrow('under way')
  expect(() => recorder.complete(0, 4, 'ok', APPEND)).toThrow('order of time')
})

test.each([
  ['an end without a beginning', [{ index: 0, process: 0, type: 'ok' }], 'nothing under way'],
  [
    'two at a time',
    [
      { index: 0, process: 0, type: 'invoke' },
      { index: 1, process: 0, type: 'invoke' },
    ],
    'still has',
  ],
  [
    'a process that goes on after an info',
    [
      { index: 0, process: 0, type: 'invoke' },
      { index: 1, process: 0, type: 'info' },
      { index: 2, process: 0, type: 'invoke' },
    ],
    'must not go on',
  ],
  [
    'events out of order',
    [
      { index: 1, process: 0, type: 'invoke' },
      { index: 0, process: 0, type: 'ok' },
    ],
    'comes after',
  ],
] as const)('%s makes no history', (_, events, words) => {
  const history = events.map((event) => ({ kind: 'client' as const, timeNs: 0, operations: APPEND, ...event }))
  expect(() => checkHistory(history)).toThrow(MalformedHistoryError)
  expect(() => checkHistory(history)).toThrow(words)
})

test('an end with other operations than its beginning, and two appends of one element, make no history', () => {
  const event = { kind: 'client' as const, timeNs: 0, process: 0 }
  const other: readonly Operation[] = [{ kind: 'append', key: 1, value: 2 }]
  const invoke = { ...event, index: 0, type: 'invoke' as const, operations: APPEND }
  expect(() => checkHistory([invoke, { ...event, index: 1, type: 'ok', operations: other }])).toThrow('its invocation')
  const again = { ...invoke, index: 1, process: 1 }
  expect(() => checkHistory([invoke, again])).toThrow('an element of its own')
})
