import { type Clock, parseClusterId, parseNodeId, type Timer } from '../../base/index.ts'
import { MemoryDisk, type MemoryDiskOptions } from '../../wal/index.ts'
import { DiskStore } from './disk-store.ts'
import { KvParticipant } from './kv-participant.ts'
import type { KvOptions } from './options.ts'

/** A clock that stands still until a test moves it. @internal */
export class TestClock implements Clock {
  #nowMs = 0
  readonly #timers = new Map<object, { readonly dueMs: number; readonly task: () => void }>()

  monotonicMs = (): number => this.#nowMs
  wallMs = (): number => 1_760_000_000_000 + this.#nowMs

  after(delayMs: number, task: () => void): Timer {
    const timer = {}
    this.#timers.set(timer, { dueMs: this.#nowMs + delayMs, task })
    return { timer }
  }

  every(periodMs: number, task: () => void): Timer {
    const timer = {}
    const again = (): void => {
      this.#timers.set(timer, { dueMs: this.#nowMs + periodMs, task: run })
    }
    const run = (): void => {
      again()
      task()
    }
    again()
    return { timer }
  }

  cancel({ timer }: Timer): void {
    this.#timers.delete(timer as object)
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.size
  }

  advance(ms: number): void {
    this.#nowMs += ms
    for (const [timer, { dueMs, task }] of [...this.#timers]) {
      if (dueMs > this.#nowMs || !this.#timers.delete(timer)) continue
      task()
    }
  }
}

/** A participant on a simulated disk. @internal */
export interface TestParticipant {
  readonly kv: KvParticipant
  readonly clock: TestClock
  readonly failures: Error[]
}

/** @internal */
export async function openOn(disk: MemoryDisk, overrides: Partial<KvOptions> = {}): Promise<TestParticipant> {
  const clock = new TestClock()
  const failures: Error[] = []
  let random = 0
  const kv = await KvParticipant.open({
    directory: '/kv',
    identity: { clusterId: parseClusterId('trips'), nodeId: parseNodeId(1) },
    disk,
    store: await DiskStore.open(disk),
    segmentBytesMax: 8192,
    branchBytesMax: 2000,
    checkpointBytes: 100_000,
    lockTimeoutMs: 1000,
    clock,
    defer: queueMicrotask,
    random: () => Buffer.alloc(16, random++),
    onFailure: (error) => failures.push(error),
    ...overrides,
  })
  return { kv, clock, failures }
}

/** A participant on a disk of its own. @internal */
export async function fresh(
  overrides: Partial<KvOptions> = {},
  faults: MemoryDiskOptions = {},
): Promise<TestParticipant & { disk: MemoryDisk }> {
  const disk = new MemoryDisk(faults)
  return { disk, ...(await openOn(disk, overrides)) }
}

/** The process dies, and starts again on what it has written. @internal */
export function restarted(disk: MemoryDisk, overrides: Partial<KvOptions> = {}): Promise<TestParticipant> {
  return openOn(disk.kill(), overrides)
}

/** Lets everything that is under way come to its end. @internal */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Whether a promise has not settled, though all had time to come to their end. @internal */
export async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  const note = (): void => {
    settled = true
  }
  promise.then(note, note)
  await settle()
  return !settled
}
