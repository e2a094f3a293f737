import { expect, test } from 'vitest'
import { parseNodeId, systemClock } from '../base/index.ts'
import {
  type Entry,
  EntryKind,
  encodeConfiguration,
  type LogIndex,
  type SnapshotPosition,
  type Term,
} from '../raft/index.ts'
import { Applier } from './applier.ts'
import { MemberList } from './member-list.ts'
import { Recorder } from './recorder.support.ts'

const at = (index: number, term: number): SnapshotPosition => ({ index: index as LogIndex, term: term as Term })

function member(nodeId: number) {
  return { nodeId: parseNodeId(nodeId), host: '127.0.0.1', port: 7000 + nodeId }
}

const ONE = MemberList.bootstrap([member(1)])
const TWO = MemberList.bootstrap([member(1), member(2)])

/** Commands `from`…`to` of a term, each with its index as its text. */
function commands(term: number, from: number, to: number): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, offset) => ({
    ...at(from + offset, term),
    kind: EntryKind.command,
    data: Buffer.from(String(from + offset)),
  }))
}

/** An applier whose slices end when a test says so: each entry takes a whole slice. */
class Run {
  readonly recorder = new Recorder()
  readonly applier: Applier
  readonly fatal: Error[] = []
  #nowMs = 0
  #later: (() => void)[] = []

  constructor(applied = at(0, 0)) {
    this.applier = new Applier({
      clock: { ...systemClock, monotonicMs: () => this.#nowMs },
      later: (task) => this.#later.push(task),
      applied,
      members: ONE,
      onFatal: (error) => this.fatal.push(error),
    })
    this.recorder.onApply = () => {
      this.#nowMs += 1000
    }
    this.applier.start(this.recorder)
  }

  /** Applies one more entry, if one waits. */
  async slice(): Promise<void> {
    await Promise.resolve()
    await Promise.resolve()
    for (const task of this.#later.splice(0)) task()
  }

  async rest(): Promise<void> {
    for (let slices = 0; slices < 50; slices++) await this.slice()
  }
}

test('a frozen state is that of the last applied entry, whatever waits behind it', async () => {
  const run = new Run()
  const configuration: Entry = { ...at(4, 2), kind: EntryKind.configuration, data: encodeConfiguration(TWO.data) }
  run.applier.push([...commands(1, 1, 2), ...commands(2, 3, 3), configuration, ...commands(3, 5, 6)])
  const seen: unknown[] = []
  for (let slices = 0; slices < 12; slices++) {
    const { position, configuration: members, state } = run.applier.freeze()
    seen[position.index] = [
      position.term,
      members.configuration.voters.length,
      JSON.parse(textOf(state)).applied.length,
    ]
    await run.slice()
  }
  expect(seen[2]).toEqual([1, 1, 2])
  expect(seen[3]).toEqual([2, 1, 3])
  expect(seen[5]).toEqual([3, 2, 4])
  expect(seen[6]).toEqual([3, 2, 5])
})

function textOf(state: ReturnType<Recorder['freeze']>): string {
  const pieces: Uint8Array[] = []
  for (let piece = state.next(); piece !== undefined; piece = state.next()) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

test('entries that a snapshot covers are not applied again, and those behind it still are', async () => {
  const run = new Run()
  run.applier.push(commands(1, 1, 4))
  run.applier.push(commands(2, 5, 9))
  await run.slice()
  await run.slice()
  expect(run.applier.appliedIndex).toBe(3)
  let replaced = false
  run.applier.replace(at(7, 2), TWO, () => {
    replaced = true
  })
  expect([replaced, run.applier.appliedIndex]).toEqual([true, 7])
  expect(run.applier.freeze()).toMatchObject({ position: at(7, 2), configuration: TWO.data })
  await run.rest()
  expect(run.recorder.applied).toEqual(['1', '2', '3', '8', '9'])
  expect(run.fatal).toEqual([])
})

test('whoever waits for an entry is served by a snapshot that covers it', () => {
  const run = new Run()
  const served: number[] = []
  for (const index of [3, 5, 6]) run.applier.whenApplied(index as LogIndex, () => served.push(index))
  run.applier.replace(at(5, 1), ONE, () => {})
  expect(served).toEqual([3, 5])
})

test('what waited and was dropped takes no room any more', () => {
  const run = new Run()
  const data = Buffer.alloc(9 * 1024 * 1024)
  run.applier.push([{ ...at(1, 1), kind: EntryKind.command, data }])
  expect(run.applier.hasRoom).toBe(false)
  run.applier.replace(at(1, 1), ONE, () => {})
  expect(run.applier.hasRoom).toBe(true)
})

test('a state is never taken back', () => {
  const run = new Run(at(8, 2))
  expect(() => run.applier.replace(at(7, 2), ONE, () => expect.unreachable())).toThrow(/not taken back/)
})
