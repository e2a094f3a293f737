import { expect } from 'vitest'
import { Prng } from '../../src/base/index.ts'
import { type Concordat, ConcordatError, OutcomeUnknownError } from '../../src/client/index.ts'
import { ACCOUNTS, type Banks } from './banks.support.ts'
import { pause, until } from './waiting.support.ts'

/** What a caller was told of one transfer. */
type Told = 'committed' | 'aborted' | 'unknown'

/** Money that is moved between the banks, many transfers at a time, and everything that was told about it. */
export class Transfers {
  readonly told = new Map<string, Told>()
  readonly txids = new Map<string, string>()
  /** Errors of transfers, by their text: what a failing test prints. */
  readonly errors = new Map<string, number>()
  readonly #banks: Banks
  readonly #name: string
  readonly #prng: Prng
  #running: Promise<void>[] = []
  #stopping = false
  #sequence = 0

  constructor(banks: Banks, name: string, seed: number) {
    this.#banks = banks
    this.#name = name
    this.#prng = new Prng(seed)
  }

  count(told: Told): number {
    return [...this.told.values()].filter((each) => each === told).length
  }

  /** Moves money over and over, `concurrency` transfers at a time, until `stop`. */
  start(concordat: Concordat, concurrency: number): void {
    this.#stopping = false
    const go = async (): Promise<void> => {
      while (!this.#stopping) await this.#moveOnce(concordat)
    }
    this.#running = Array.from({ length: concurrency }, go)
  }

  /** Resolves when every transfer has told its end. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#running)
  }

  /** Waits until `count` more transfers were told committed. */
  async committedMore(count: number): Promise<void> {
    const goal = this.count('committed') + count
    await until(`${count} more transfers commit`, () => this.count('committed') >= goal)
  }

  async #moveOnce(concordat: Concordat): Promise<void> {
    const id = `${this.#name}-${++this.#sequence}`
    const amount = this.#prng.between(-100, 100)
    try {
      await concordat.transaction({ timeoutMs: 5_000 }, async (tx) => {
        this.txids.set(id, tx.txid)
        // Always in the same order, so that transfers wait for each other's rows but never in a circle.
        for (const [index, bank] of this.#banks.banks.entries()) {
          const delta = index === 0 ? amount : index === 1 ? -amount : 0
          await bank.book(tx, id, this.#prng.between(0, ACCOUNTS - 1), delta)
        }
      })
      this.told.set(id, 'committed')
    } catch (error) {
      await this.#failed(id, error)
    }
  }

  async #failed(id: string, error: unknown): Promise<void> {
    this.told.set(id, error instanceof OutcomeUnknownError ? 'unknown' : 'aborted')
    const words =
      error instanceof ConcordatError ? `${error.code} ${error.message.replace(/[0-9a-f-]{36}/g, 'T')}` : `${error}`
    this.errors.set(words, (this.errors.get(words) ?? 0) + 1)
    await pause(10)
  }

  /** Holds what was told against what the databases show: P1, P2, P3 and P7. */
  async audit(): Promise<void> {
    await until('nothing is prepared any more', async () => (await this.#banks.prepared()).length === 0, 30_000)
    const sets = await Promise.all(this.#banks.banks.map(async (bank) => new Set(await bank.transfers())))
    const torn = [...this.told.keys()].filter((id) => new Set(sets.map((set) => set.has(id))).size > 1)
    expect(torn, 'P1: in all banks or in none').toEqual([])
    const [north] = sets
    const lost = [...this.told].filter(([id, told]) => told === 'committed' && !north!.has(id))
    expect(lost, 'P3: what was told committed is there').toEqual([])
    const risen = [...this.told].filter(([id, told]) => told === 'aborted' && north!.has(id))
    expect(risen, 'what was told aborted is not there').toEqual([])
    expect(await this.#banks.total(), 'no money was made or lost').toBe(this.#banks.totalAtStart)
  }

  /** What happened, in a line, for a failing test. */
  describe(): string {
    const errors = [...this.errors].map(([words, count]) => `  ${count} × ${words}`).join('\n')
    return `${this.count('committed')} committed, ${this.count('aborted')} aborted, ${this.count('unknown')} unknown\n${errors}`
  }
}
