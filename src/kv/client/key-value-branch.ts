import { type Txid, toError } from '../../base/index.ts'
import type { KvValue } from '../constraints/index.ts'
import type { ScanOptions, ScanResult } from '../engine/branch.ts'
import type { KvAnswer, KvStatement } from '../wire/index.ts'
import { branchEnded, branchLost, KvError } from './errors.ts'
import { type KvLine, LineLostError } from './line.ts'
import { checked, resultOf, scanStatement } from './statements.ts'

/**
 * A transaction's work at one key-value participant: what `tx.enlist(kv(…))` gives. Reads lock what they read, writes what
 * they write, until the transaction's end. Several calls may be under way at a time: they are carried out in their order.
 *
 * Any error rolls the branch back: the transaction can then only abort.
 */
export class KeyValueBranch {
  readonly txid: Txid
  readonly #participant: string
  readonly #line: KvLine
  #busy = 0
  #calls = 0
  #poisonedBy: Error | undefined
  #ended: string | undefined

  /** @internal Made by `tx.enlist`. */
  constructor(participant: string, txid: Txid, line: KvLine) {
    this.#participant = participant
    this.txid = txid
    this.#line = line
  }

  /** The value of a key; undefined when there is none. @throws KvError */
  async get(key: string): Promise<KvValue | undefined> {
    return resultOf.value(await this.#run({ kind: 'get', key }))
  }

  /** A page of entries, in the order of their keys' bytes (UTF-8); go on from `next`. The whole range is locked. @throws KvError */
  async scan(options: Omit<ScanOptions, 'bytes'> = {}): Promise<ScanResult> {
    return resultOf.page(await this.#run(scanStatement(options)))
  }

  /** @throws KvError */
  async put(key: string, value: KvValue): Promise<void> {
    await this.#run({ kind: 'put', key, value })
  }

  /** @throws KvError */
  async delete(key: string): Promise<void> {
    await this.#run({ kind: 'delete', key })
  }

  /** Adds to a number, which is 0 where there is nothing, and resolves to the sum. @throws KvError */
  async add(key: string, amount: number): Promise<number> {
    return resultOf.value(await this.#run({ kind: 'add', key, amount })) as number
  }

  /**
   * Puts `value` (undefined: removes it) if the key holds `expected` (undefined: nothing). Resolves to whether it did;
   * if not, the branch will vote abort. @throws KvError
   */
  async compareAndSet(key: string, expected: KvValue | undefined, value: KvValue | undefined): Promise<boolean> {
    return resultOf.flag(await this.#run({ kind: 'compareAndSet', key, expected, value }))
  }

  /** The first error; then it can only abort. @internal */
  get poisonedBy(): Error | undefined {
    if (this.#poisonedBy === undefined && this.#ended === undefined && !this.#line.isOpen) {
      this.#poisonedBy = branchLost(this.#participant, this.txid, undefined)
    }
    return this.#poisonedBy
  }

  /** Whether a call is under way. At the callback's end that is work which nobody awaited. @internal */
  get isBusy(): boolean {
    return this.#busy > 0
  }

  /** Which of its calls is under way, from 1: they are carried out one by one. Undefined while none is. @internal */
  get underWay(): number | undefined {
    return this.#busy > 0 ? this.#calls - this.#busy + 1 : undefined
  }

  /** Takes no more work. @internal */
  end(why: string): void {
    this.#ended ??= why
  }

  /** Rolls it back. @returns whether it surely never commits @internal */
  async abort(): Promise<boolean> {
    this.end('was rolled back')
    // The participant does the same when the line ends.
    if (!this.#line.isOpen) return true
    try {
      const { kind } = await this.#line.call({ kind: 'abort', txid: this.txid })
      return kind === 'done'
    } catch {
      return !this.#line.isOpen
    }
  }

  /** One-phase commit. @throws LineLostError when its outcome is not known, KvError when it was not sent @internal */
  async commit(): Promise<KvAnswer> {
    this.end('has ended')
    // It ended with its line.
    if (!this.#line.isOpen) throw branchLost(this.#participant, this.txid, undefined)
    return this.#line.call({ kind: 'commit', txid: this.txid })
  }

  async #run(statement: KvStatement): Promise<KvAnswer> {
    this.#checkOpen()
    this.#busy += 1
    this.#calls += 1
    try {
      const answer = await this.#line.call({ kind: 'work', txid: this.txid, statement: checked(statement) })
      if (answer.kind === 'refused') throw new KvError(this.#participant, answer, { txid: this.txid })
      return answer
    } catch (thrown) {
      const error = thrown instanceof LineLostError ? branchLost(this.#participant, this.txid, thrown) : toError(thrown)
      this.#poisonedBy ??= error
      throw error
    } finally {
      this.#busy -= 1
    }
  }

  #checkOpen(): void {
    if (this.#ended !== undefined) throw branchEnded(this.#participant, this.txid, this.#ended)
    const cause = this.#poisonedBy
    if (cause !== undefined)
      throw branchEnded(this.#participant, this.txid, 'was rolled back because of an error', cause)
  }
}
