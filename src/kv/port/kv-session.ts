import type { Txid } from '../../base/index.ts'
import type { KvBranch } from '../engine/branch.ts'
import { KvTransactionEndedError } from '../engine/errors.ts'
import type { KvAnswer, KvRequest, KvStatement } from '../wire/index.ts'
import { isWork, PAGE_BYTES } from '../wire/index.ts'
import type { Room } from './answer-room.ts'
import type { KvDesk } from './kv-desk.ts'
import { busy, notHere, refusalOf, refusalOfVote } from './refusal.ts'

/** Its answer is lost: nobody knows what came of it. The connection must end, so that the other side asks anew. */
export class AnswerLostError extends Error {}

/** One application at the desk: what it asks for is done at once, as many requests side by side as it likes. */
export class KvSession {
  readonly #desk: KvDesk
  /** Requests without an answer: work, and what ends it. */
  readonly #calls = { work: 0, ends: 0 }
  #ended = false

  constructor(desk: KvDesk) {
    this.#desk = desk
  }

  /**
   * @param bytes what the request takes in memory
   * @param room where a read waits before it makes its answer
   * @throws AnswerLostError when nobody knows whether it committed
   */
  async call(request: KvRequest, bytes: number, room?: Room): Promise<KvAnswer> {
    if (this.#ended) return busy('this connection has ended')
    const excess = this.#excess(request, bytes)
    if (excess !== undefined) return this.#refuse(request, excess)
    const counted = isWork(request) ? 'work' : 'ends'
    this.#calls[counted] += 1
    this.#desk.callBytes += bytes
    try {
      return await this.#carryOut(request, room)
    } catch (thrown) {
      if (thrown instanceof AnswerLostError) throw thrown
      return refusalOf(thrown)
    } finally {
      this.#calls[counted] -= 1
      this.#desk.callBytes -= bytes
    }
  }

  /** The application is gone. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#desk.leave(this)
  }

  /** What is too much, if it is. Who waits must not keep out what it waits for; a right application ends a branch once. */
  #excess(request: KvRequest, bytes: number): string | undefined {
    const { branchesMax, callsMax, callBytesMax } = this.#desk.parts.limits
    if (!isWork(request)) return this.#calls.ends < branchesMax ? undefined : `${branchesMax} branches are ending`
    if (this.#calls.work >= callsMax) return `${callsMax} requests of this connection are under way`
    if (this.#desk.callBytes + bytes > callBytesMax) return `requests of ${callBytesMax} bytes are under way`
    return undefined
  }

  /** Statements are not to be lost from the middle of a branch, and one that nobody can end must not keep its locks. */
  #refuse(request: KvRequest, what: string): KvAnswer {
    const { kind } = request
    const isOfBranch = kind === 'work' || kind === 'commit' || kind === 'abort'
    if (isOfBranch && this.#owns(request.txid)) this.#desk.abort(request.txid, `${what}, so a request was refused`)
    return busy(what)
  }

  async #carryOut(request: KvRequest, room: Room | undefined): Promise<KvAnswer> {
    const { kv, status } = this.#desk.parts
    switch (request.kind) {
      case 'begin':
        return this.#desk.begin(this, request.ticket) ?? { kind: 'done' }
      case 'work':
        return this.#work(request.txid, request.statement, room)
      case 'alone':
        return this.#alone(request.txid, request.statement, room)
      case 'commit':
        return this.#owns(request.txid) ? this.#commit(request.txid) : this.#notHere(request.txid)
      case 'abort':
        return this.#abort(request.txid)
      case 'settle':
        return { kind: 'outcome', outcome: await kv.settle(request.txid) }
      case 'explain':
        return this.#desk.reasonOf(request.txid) ?? { kind: 'done' }
      default:
        return { kind: 'text', text: JSON.stringify(status()) }
    }
  }

  #owns(txid: Txid): boolean {
    return this.#desk.open(txid)?.session === this
  }

  #notHere(txid: Txid): KvAnswer {
    return notHere(txid, this.#desk.reasonOf(txid)?.message)
  }

  async #work(txid: Txid, statement: KvStatement, room: Room | undefined): Promise<KvAnswer> {
    const work = this.#desk.open(txid)
    if (work?.session !== this) return this.#notHere(txid)
    return this.#desk.inOrder(work, () => carryOut(work.branch, statement, room))
  }

  #abort(txid: Txid): KvAnswer {
    if (!this.#owns(txid)) return this.#notHere(txid)
    if (this.#desk.abort(txid, 'the application asked for it')) return { kind: 'done' }
    // P4: it may commit still, so who asks must tell the coordinators.
    return refusalOf(new KvTransactionEndedError(txid, 'has voted or ended here'))
  }

  async #commit(txid: Txid): Promise<KvAnswer> {
    const { kv } = this.#desk.parts
    this.#desk.refuseUnawaited(txid)
    try {
      const ended = await kv.commitOnePhase(txid)
      this.#desk.over(txid)
      return ended.kind === 'done' ? ended : refusalOfVote(ended)
    } catch (cause) {
      // It was still open, and had not voted: nothing was written, and nothing ever will be.
      if (this.#desk.abort(txid, 'its commit failed')) return refusalOf(cause)
      throw new AnswerLostError('a commit has no answer', { cause })
    }
  }

  async #alone(txid: Txid, statement: KvStatement, room: Room | undefined): Promise<KvAnswer> {
    const { kv } = this.#desk.parts
    if (statement.kind === 'get') return { kind: 'value', value: await kv.get(statement.key, room) }
    if (statement.kind === 'scan') return { kind: 'page', ...(await kv.scan(pageOf(statement), room)) }
    const refused = this.#desk.beginAlone(this, txid)
    const work = this.#desk.open(txid)
    if (refused !== undefined || work === undefined) return refused ?? this.#notHere(txid)
    try {
      const answer = await carryOut(work.branch, statement, room)
      // Unlike in a branch, to find something else is an answer here, and nothing is left to vote on.
      if (answer.kind === 'flag' && !answer.flag) return answer
      const ended = await this.#commit(txid)
      return ended.kind === 'done' ? answer : ended
    } finally {
      this.#desk.abort(txid, 'it did not commit')
    }
  }
}

async function carryOut(branch: KvBranch, statement: KvStatement, room: Room | undefined): Promise<KvAnswer> {
  switch (statement.kind) {
    case 'get':
      return { kind: 'value', value: await branch.get(statement.key, room) }
    case 'scan':
      return { kind: 'page', ...(await branch.scan(pageOf(statement), room)) }
    case 'put':
      await branch.put(statement.key, statement.value)
      return { kind: 'done' }
    case 'delete':
      await branch.delete(statement.key)
      return { kind: 'done' }
    case 'add':
      return { kind: 'value', value: await branch.add(statement.key, statement.amount) }
    default: {
      const { key, expected, value } = statement
      return { kind: 'flag', flag: await branch.compareAndSet(key, expected, value) }
    }
  }
}

/** A page must fit in a frame. */
function pageOf({ from, to, prefix, limit }: Extract<KvStatement, { kind: 'scan' }>) {
  return {
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    ...(prefix !== undefined && { prefix }),
    ...(limit !== undefined && { limit }),
    bytes: PAGE_BYTES,
  }
}
