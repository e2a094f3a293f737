import { expect, test } from 'vitest'
import { Prng } from '../../base/index.ts'
import { txidOf } from '../../base/txids.support.ts'
import type { KvValue } from '../constraints/index.ts'
import type { KvBranch } from './branch.ts'
import type { KvParticipant } from './kv-participant.ts'
import { fresh } from './participant.support.ts'

const KEYS = [...'abcdef']
const CLIENTS = 6
const TRANSACTIONS = 40

type Table = ReadonlyMap<string, KvValue>

type Step =
  | { readonly kind: 'get'; readonly key: string; readonly found: KvValue | undefined }
  | { readonly kind: 'scan'; readonly from: string; readonly to: string; readonly found: string }
  | { readonly kind: 'put'; readonly key: string; readonly value: KvValue | undefined }

/**
 * The truth beside the participant: what each transaction did and saw, put into one order, that of their ends. Each lies
 * between a transaction's begin and end, so if all reads are right in that order, the history is strictly serializable.
 */
class History {
  readonly versions: Table[] = [new Map()]

  commit(steps: readonly Step[], label: string): void {
    const table = new Map(this.versions.at(-1))
    for (const step of steps) {
      if (step.kind === 'get') expect(step.found, `${label} reads ${step.key}`).toEqual(table.get(step.key))
      else if (step.kind === 'scan') expect(step.found, `${label} scans`).toBe(rangeOf(table, step.from, step.to))
      else if (step.value === undefined) table.delete(step.key)
      else table.set(step.key, step.value)
    }
    this.versions.push(table)
  }
}

function rangeOf(table: Table, from: string, to: string): string {
  const inside = [...table].filter(([key]) => key >= from && key < to).sort(([a], [b]) => (a < b ? -1 : 1))
  return inside.map(([key, value]) => `${key}=${value}`).join(' ')
}

function listed({ entries }: Awaited<ReturnType<KvBranch['scan']>>): string {
  return entries.map(({ key, value }) => `${key}=${value}`).join(' ')
}

/** One client: transactions of random steps, some of which abort, and reads on their own in between. */
class Client {
  readonly #prng: Prng
  readonly #kv: KvParticipant
  readonly #history: History
  readonly #newTxid: () => string
  deadlocks = 0

  constructor(kv: KvParticipant, history: History, seed: number, newTxid: () => string) {
    this.#kv = kv
    this.#history = history
    this.#prng = new Prng(seed)
    this.#newTxid = newTxid
  }

  async run(): Promise<void> {
    for (let done = 0; done < TRANSACTIONS; done++) {
      await this.#pause()
      if (this.#prng.chance(0.2)) await this.#readAlone()
      else await this.#transaction(this.#newTxid())
    }
  }

  async #transaction(txid: string): Promise<void> {
    const branch = this.#kv.begin(txid)
    const steps: Step[] = []
    try {
      for (let left = this.#prng.between(1, 4); left > 0; left--) {
        steps.push(await this.#step(branch, txid))
        await this.#pause()
      }
    } catch (error) {
      expect((error as { code?: string }).code).toBe('KV_DEADLOCK')
      this.deadlocks++
      await this.#kv.abort(txid)
      return
    }
    await this.#end(txid, steps)
  }

  async #end(txid: string, steps: readonly Step[]): Promise<void> {
    const readOnly = steps.every(({ kind }) => kind !== 'put')
    const voting = this.#kv.prepare(txid)
    // A read-only branch ends with its vote, which is given before the first await.
    await Promise.resolve()
    if (readOnly) this.#history.commit(steps, txid)
    expect((await voting).kind).toBe(readOnly ? 'readOnly' : 'commit')
    if (readOnly) return
    await this.#pause()
    if (this.#prng.chance(0.2)) {
      await this.#kv.abort(txid)
      return
    }
    this.#history.commit(steps, txid)
    await this.#kv.commit(txid)
  }

  async #step(branch: KvBranch, txid: string): Promise<Step> {
    const key = this.#prng.pick(KEYS)
    const kind = this.#prng.below(10)
    if (kind < 4) return { kind: 'get', key, found: await branch.get(key) }
    if (kind < 5) {
      const to = String.fromCharCode(key.charCodeAt(0) + 3)
      return { kind: 'scan', from: key, to, found: listed(await branch.scan({ from: key, to })) }
    }
    const value = kind < 9 ? `${txid.slice(9, 13)}-${this.#prng.below(1000)}` : undefined
    if (value === undefined) await branch.delete(key)
    else await branch.put(key, value)
    return { kind: 'put', key, value }
  }

  /** What a read on its own finds was there at some moment between its begin and its end. */
  async #readAlone(): Promise<void> {
    const first = this.#history.versions.length - 1
    const found = await this.#kv.scan({ from: 'a', to: 'e' }).then(listed, (error) => {
      expect((error as { code?: string }).code).toBe('KV_DEADLOCK')
      return undefined
    })
    if (found === undefined) return
    const possible = this.#history.versions.slice(first).map((table) => rangeOf(table, 'a', 'e'))
    expect(possible).toContain(found)
  }

  async #pause(): Promise<void> {
    for (let turns = this.#prng.below(12); turns > 0; turns--) await Promise.resolve()
    if (this.#prng.chance(0.1)) await new Promise((resolve) => setImmediate(resolve))
  }
}

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'histories are strictly serializable, with deadlocks and checkpoints under way (seed %i)',
  async (seed) => {
    const { kv, failures, clock } = await fresh({ checkpointBytes: 600, lockTimeoutMs: 1_000_000 })
    const history = new History()
    let txids = 0
    const clients = Array.from({ length: CLIENTS }, (_, index) => {
      return new Client(kv, history, seed * 100 + index, () => txidOf(txids++))
    })
    await Promise.all(clients.map((client) => client.run()))
    expect(history.versions.length).toBeGreaterThan(50)
    expect(clients.reduce((sum, { deadlocks }) => sum + deadlocks, 0)).toBeGreaterThan(3)
    expect(listed(await kv.scan())).toBe(rangeOf(history.versions.at(-1)!, '', '~'))
    expect(kv.transactions).toBe(0)
    expect(failures).toEqual([])
    await kv.close()
    expect(clock.timers).toBe(0)
  },
)
