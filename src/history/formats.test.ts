import { expect, test } from 'vitest'
import { Prng } from '../base/index.ts'
import { SerialDatabase } from './checker/histories.support.ts'
import { readEdnHistory } from './edn/read-history.ts'
import { ednLines } from './edn/write-history.ts'
import type { History } from './events.ts'
import { porcupineLines } from './porcupine.ts'
import { HistoryRecorder } from './recorder.ts'

const SHAPE = { transactions: 60, threads: 5, keys: 3, operationsMax: 4, failPercent: 20, infoPercent: 20 }

function ednOf(history: History): string {
  return [...ednLines(history)].join('')
}

function short(): History {
  const recorder = new HistoryRecorder(2)
  recorder.invoke(0, 123, [
    { kind: 'append', key: 3, value: 1 },
    { kind: 'read', key: 4, list: undefined },
  ])
  recorder.fault(150, 'kill', 'north')
  recorder.invoke(1, 200, [{ kind: 'append', key: 'a "b"', value: 2 }])
  recorder.complete(0, 300, 'ok', [
    { kind: 'append', key: 3, value: 1 },
    { kind: 'read', key: 4, list: [7, 8] },
  ])
  recorder.complete(1, 310, 'info', undefined, 'TXN_OUTCOME_UNKNOWN')
  recorder.invoke(0, 320, [{ kind: 'append', key: 3, value: 5 }])
  recorder.complete(0, 330, 'fail', undefined, 'KV_DEADLOCK')
  return recorder.events
}

test('EDN is written as Jepsen writes list-append histories', () => {
  expect(ednOf(short()).trimEnd().split('\n')).toEqual([
    '{:index 0, :time 123, :process 0, :type :invoke, :f :txn, :value [[:append 3 1] [:r 4 nil]]}',
    '{:index 1, :time 150, :process :nemesis, :type :info, :f :kill, :value "north"}',
    '{:index 2, :time 200, :process 1, :type :invoke, :f :txn, :value [[:append "a \\"b\\"" 2]]}',
    '{:index 3, :time 300, :process 0, :type :ok, :f :txn, :value [[:append 3 1] [:r 4 [7 8]]]}',
    '{:index 4, :time 310, :process 1, :type :info, :f :txn, :value [[:append "a \\"b\\"" 2]], :error "TXN_OUTCOME_UNKNOWN"}',
    '{:index 5, :time 320, :process 0, :type :invoke, :f :txn, :value [[:append 3 5]]}',
    '{:index 6, :time 330, :process 0, :type :fail, :f :txn, :value [[:append 3 5]], :error "KV_DEADLOCK"}',
  ])
})

test('what is written is read back the same', () => {
  expect(readEdnHistory(ednOf(short()))).toEqual(short())
  for (let seed = 0; seed < 10; seed++) {
    const history = new SerialDatabase(new Prng(seed), SHAPE).run()
    expect(readEdnHistory(ednOf(history))).toEqual(history)
  }
})

test('a history of Jepsen’s is read: tagged records, a vector around them, keywords, nil, commas, comments', () => {
  const source = `; made by a test of Jepsen
  [#jepsen.history.Op{:type :invoke :process 0 :f :txn :value [[:append :x 1] [:r :y nil]] :index 0 :time 5}
   {:type :info, :process :nemesis, :f :start-partition, :value [:isolated #{"n1"}], :index 1, :time 6}
   {:type :ok, :process 0, :f :txn, :value ((:append :x 1) (:r :y nil)), :index 2, :time 7, :extra {:a [1.5 2N true]}}
   {:type :invoke, :process 1, :f :txn, :value [[:r :x nil]], :index 3, :time 8}
   {:type :fail, :process 1, :f :txn, :value nil, :error [:timeout "s"], :index 4, :time 9}]`
  const [invoke, nemesis, ok, , fail] = readEdnHistory(source)
  const append = { kind: 'append', key: ':x', value: 1 }
  expect(invoke).toEqual({
    kind: 'client',
    index: 0,
    timeNs: 5,
    process: 0,
    type: 'invoke',
    operations: [append, { kind: 'read', key: ':y', list: undefined }],
  })
  expect(nemesis).toMatchObject({ kind: 'fault', f: 'start-partition' })
  // Nothing was there: in a read that is known, nil is the empty list.
  expect(ok).toMatchObject({ operations: [append, { kind: 'read', key: ':y', list: [] }] })
  expect(fail).toMatchObject({ type: 'fail', operations: [], error: ':timeout s' })
})

test.each([
  ['a text without an end', '{:type "abc', 'line 1 is not EDN'],
  ['a map without an end', '\n{:type :ok', 'line 2 is not EDN'],
  ['a bracket too many', '{:type :ok}}', 'closes nothing'],
  ['a number that is none', '{:index 12abc}', '12abc'],
  ['a number that is too large', '{:process 0 :type :ok :f :txn :value [[:append 1 9007199254740993]]}', 'beyond 2^53'],
  ['no map', '12', 'form 1'],
  ['another type', '{:process 0 :type :maybe :f :txn}', ':type must be'],
  ['another function', '{:process 0 :type :ok :f :read}', ':f must be :txn'],
  ['another operation', '{:process 0 :type :ok :f :txn :value [[:w 1 2]]}', ':append or :r'],
  ['no operations', '{:process 0 :type :ok :f :txn :value 3}', 'a vector of operations'],
  ['an operation that is no vector', '{:process 0 :type :ok :f :txn :value [3]}', 'must be a vector'],
  ['a read of a register', '{:process 0 :type :ok :f :txn :value [[:r 1 2]]}', 'a vector or nil'],
  ['a key that is a vector', '{:process 0 :type :ok :f :txn :value [[:r [1] nil]]}', 'a key or an element'],
])('%s is refused with its place', (_, source, words) => {
  expect(() => readEdnHistory(source)).toThrow(words)
})

test('for Porcupine failures are left out, and what is unknown returns at the end', () => {
  const lines = [...porcupineLines(short())].map((line) => JSON.parse(line) as object)
  expect(lines).toEqual([
    {
      id: 0,
      client: 0,
      kind: 'call',
      time: 123,
      ops: [
        ['append', 3, 1],
        ['r', 4],
      ],
    },
    { id: 1, client: 1, kind: 'call', time: 200, ops: [['append', 'a "b"', 2]] },
    {
      id: 0,
      client: 0,
      kind: 'return',
      time: 300,
      result: 'ok',
      ops: [
        ['append', 3, 1],
        ['r', 4, [7, 8]],
      ],
    },
    { id: 1, client: 1, kind: 'return', time: 331, result: 'unknown' },
  ])
})
