import { expect, test } from 'vitest'
import type { Clock, Timer } from '../base/index.ts'
import type { SnapshotStream } from '../replica/index.ts'
import { BackupDesk } from './backup-desk.ts'

/** Gives these pieces, and notes that it was closed. */
class FakeStream {
  readonly header = { clusterId: 'trips', position: { index: 7, term: 2 }, takenAtMs: 5 }
  closed = false
  readonly #pieces: Buffer[]

  constructor(...texts: readonly string[]) {
    this.#pieces = texts.map((text) => Buffer.from(text))
  }

  async next(): Promise<Buffer | undefined> {
    return this.#pieces.shift()
  }

  async close(): Promise<void> {
    this.closed = true
  }
}

/** A clock whose timers go off when the test says so. */
class ManualClock implements Clock {
  readonly #tasks = new Map<object, () => void>()
  monotonicMs = () => 0
  wallMs = () => 0

  after(_delayMs: number, task: () => void): Timer {
    const timer = {}
    this.#tasks.set(timer, task)
    return timer as Timer
  }

  every(): Timer {
    throw new Error('the desk does not use it')
  }

  cancel(timer: Timer): void {
    this.#tasks.delete(timer)
  }

  fire(): number {
    const due = [...this.#tasks.values()]
    this.#tasks.clear()
    for (const task of due) task()
    return due.length
  }
}

function open(...texts: readonly string[]) {
  const streams: FakeStream[] = []
  const clock = new ManualClock()
  const streamSnapshot = async () => {
    const stream = new FakeStream(...texts)
    streams.push(stream)
    return stream as unknown as SnapshotStream
  }
  return { desk: new BackupDesk({ streamSnapshot }, clock), clock, streams }
}

test('a backup is handed out piece by piece, and its state let go behind the last', async () => {
  const { desk, clock, streams } = open('one', 'two')
  expect(await desk.answer('backup.begin', {})).toEqual({ id: '1', cluster: 'trips', index: 7, takenAtMs: 5 })
  const data = []
  for (let n = 0; n < 3; n++) data.push(await desk.answer('backup.next', { id: '1' }))
  expect(data).toEqual([{ data: 'b25l' }, { data: 'dHdv' }, { data: null }])
  expect(streams[0]?.closed).toBe(true)
  expect(clock.fire()).toBe(0)
})

test('only one backup is under way at a time, also while the first one begins', async () => {
  const { desk } = open('one')
  const first = desk.answer('backup.begin', {})
  await expect(desk.answer('backup.begin', {})).rejects.toMatchObject({ code: 'BACKUP_BUSY', retryable: true })
  await first
  await expect(desk.answer('backup.begin', {})).rejects.toMatchObject({ code: 'BACKUP_BUSY' })
  await desk.answer('backup.end', { id: '1' })
  expect(await desk.answer('backup.begin', {})).toMatchObject({ id: '2' })
})

test('a backup that nobody goes on with is given up', async () => {
  const { desk, clock, streams } = open('one', 'two')
  await desk.answer('backup.begin', {})
  await desk.answer('backup.next', { id: '1' })
  expect(clock.fire()).toBe(1)
  expect(streams[0]?.closed).toBe(true)
  await expect(desk.answer('backup.next', { id: '1' })).rejects.toMatchObject({ code: 'BACKUP_GONE', retryable: true })
  expect(await desk.answer('backup.begin', {})).toMatchObject({ id: '2' })
})

test('the end of another backup ends nothing, and other questions are not its', async () => {
  const { desk, streams } = open('one')
  await desk.answer('backup.begin', {})
  await desk.answer('backup.end', { id: '0' })
  expect(streams[0]?.closed).toBe(false)
  expect(desk.answer('status', {})).toBeUndefined()
  expect(() => desk.answer('backup.next', { id: 1 })).toThrow()
  desk.close()
  expect(streams[0]?.closed).toBe(true)
})
