import {
  abortedAnswer,
  BODY_BYTES_MAX,
  committedAnswer,
  contradictionAnswer,
  type DecisionRequest,
  inDoubtAnswer,
  LIST_BYTES_MAX,
  type PrepareRequest,
  SERVICE_PATHS,
  voteAnswer,
} from '../../api/index.ts'
import { type BranchId, type ClusterId, makeGid, parseGid, type Txid } from '../../base/index.ts'
import type { PreparedBranch } from '../../resources/index.ts'
import type { Decision, Vote } from '../../txn/index.ts'
import { type HttpAnswer, HttpCaller, type HttpCallerOptions, problemOf } from './http-call.ts'

/** What came of telling a decision. */
export type DecisionResult =
  | { readonly kind: 'done' }
  /** It says that the branch ended the other way before. */
  | { readonly kind: 'endedOtherwise'; readonly found: 'committed' | 'aborted' }

/** Where one instance of a service is reached, and under which name it takes part. */
export interface HttpServiceOptions extends HttpCallerOptions {
  readonly name: string
  readonly clusterId: ClusterId
}

/**
 * One instance of a service behind a URL: the protocol's questions, and what counts as their answers. Everything else
 * is thrown: it is neither a vote nor an acknowledgement, and the question is asked again.
 */
export class HttpService {
  readonly name: string
  readonly url: string
  readonly #clusterId: ClusterId
  readonly #caller: HttpCaller

  constructor(options: HttpServiceOptions) {
    this.name = options.name
    this.url = options.url
    this.#clusterId = options.clusterId
    this.#caller = new HttpCaller(options)
  }

  /** PREPARE. @throws Error when there is no vote */
  async prepare(txid: Txid, branch: BranchId, timeoutMs: number): Promise<Vote> {
    const question = { ...this.#question(txid, branch), timeoutMs: Math.ceil(timeoutMs) } satisfies PrepareRequest
    const answer = await this.#post(SERVICE_PATHS.prepare, question)
    const parsed = voteAnswer.safeParse(answer.body)
    if (answer.status !== 200 || !parsed.success) throw new Error(`it answered ${answer.status} without a vote`)
    expectSame(question, parsed.data)
    return parsed.data.vote
  }

  /** GLOBAL-COMMIT or GLOBAL-ABORT. @throws Error when it is not acknowledged */
  async decide(txid: Txid, branch: BranchId, decision: Decision): Promise<DecisionResult> {
    const question = this.#question(txid, branch)
    const answer = await this.#post(SERVICE_PATHS[decision], question)
    if (answer.status === 409) return contradiction(question, answer, decision)
    const parsed = (decision === 'commit' ? committedAnswer : abortedAnswer).safeParse(answer.body)
    if (!parsed.success) throw new Error(`it answered 200 without saying that the branch is ${ENDS[decision]}`)
    expectSame(question, parsed.data)
    return { kind: 'done' }
  }

  /** The branches that may be settled now. @throws Error when it does not say */
  async inDoubt(): Promise<readonly PreparedBranch[]> {
    const target = `${SERVICE_PATHS.inDoubt}?cluster=${encodeURIComponent(this.#clusterId)}`
    const answer = await this.#caller.ask({ method: 'GET', target, body: '', bytesMax: LIST_BYTES_MAX })
    const parsed = inDoubtAnswer.safeParse(answer.body)
    if (answer.status !== 200 || !parsed.success) throw new Error(`it answered ${answer.status} without a list`)
    const { participant, branches } = parsed.data
    if (participant !== this.name) throw new Error(`it answers for ${participant}; correct its URL`)
    return branches.filter(({ dueInMs }) => dueInMs === 0).map((listed) => this.#identify(listed))
  }

  close(): void {
    this.#caller.close()
  }

  #question(txid: Txid, branch: BranchId): DecisionRequest {
    const cluster = this.#clusterId
    return { cluster, participant: this.name, txid, branch, gid: makeGid(cluster, txid, branch) }
  }

  #post(target: string, question: object): Promise<HttpAnswer> {
    return this.#caller.ask({ method: 'POST', target, body: JSON.stringify(question), bytesMax: BODY_BYTES_MAX })
  }

  /** A list that contradicts itself, or has others' branches in it, is not acted upon. */
  #identify(listed: BranchNames): PreparedBranch {
    const identity = parseGid(listed.gid)
    if (identity?.cluster !== this.#clusterId) throw new Error(`it lists ${listed.gid}, which is not of this cluster`)
    if (identity.txid !== listed.txid || identity.branch !== listed.branch) {
      throw new Error(`it lists ${listed.gid} with another txid or branch`)
    }
    // It tells no age: its clock is not ours, so the time counts since it was first seen in the list.
    return { ...identity, gid: makeGid(identity.cluster, identity.txid, identity.branch), ageMs: undefined }
  }
}

/** What says of which branch an answer is. */
type BranchNames = { readonly txid: string; readonly branch: number; readonly gid: string }

const ENDS = { commit: 'committed', abort: 'aborted' } as const

function contradiction(question: DecisionRequest, { body }: HttpAnswer, decision: Decision): DecisionResult {
  const parsed = contradictionAnswer.safeParse(body)
  if (!parsed.success || parsed.data.outcome === ENDS[decision]) {
    throw new Error(`it answered 409${problemOf(body)}`)
  }
  expectSame(question, parsed.data)
  return { kind: 'endedOtherwise', found: parsed.data.outcome }
}

/** An answer for another branch (a cache, a mixed up proxy) must never count for this one. */
function expectSame(asked: BranchNames, answered: BranchNames): void {
  const isSame = asked.gid === answered.gid && asked.txid === answered.txid && asked.branch === answered.branch
  if (!isSame) throw new Error(`it answered for ${answered.gid} when it was asked about ${asked.gid}`)
}
