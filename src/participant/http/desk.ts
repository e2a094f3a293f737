import type { z } from 'zod'
import {
  checkCredentials,
  type DecisionRequest,
  decisionRequest,
  type InDoubtAnswer,
  LISTED_MAX,
  type ListedBranch,
  prepareRequest,
  type ServiceCredentials,
  type ServiceOperation,
} from '../../api/index.ts'
import { type BranchId, type Clock, type ClusterId, parseBranchId, parseTxid, type Txid } from '../../base/index.ts'
import type { Decision, Vote } from '../../txn/index.ts'
import type { BranchKeeper } from '../service/branch-keeper.ts'
import type { BranchEnd, OpenBranch } from '../service/branch-table.ts'
import { type BranchKey, branchKey } from '../service/keys.ts'
import { Awaited } from './awaited.ts'
import { type DeskAnswer, done, problem } from './desk-answer.ts'
import { type DeskRequest, operationOf, targetOf } from './desk-request.ts'

/** What a desk needs. */
export interface DeskParts {
  readonly name: string
  readonly clusterId: ClusterId
  readonly credentials: ServiceCredentials
  readonly keeper: BranchKeeper
  readonly clock: Clock
  /** How long a question waits for its answer before it is told to ask again. */
  readonly waitMs: number
}

/**
 * Answers the coordinators' questions out of what the keeper does. It promises nothing itself: a vote and an acknowledgement
 * are what the keeper has put on disk, and whatever is not known yet is answered with 503, which is neither.
 */
export class Desk {
  readonly #parts: DeskParts
  readonly #votes: Awaited<Vote>
  readonly #ends: Awaited<true>
  #isRefusing = false

  constructor(parts: DeskParts) {
    this.#parts = parts
    this.#votes = new Awaited(parts.clock, parts.waitMs)
    this.#ends = new Awaited(parts.clock, parts.waitMs)
  }

  /** The keeper acknowledges. */
  acknowledge(txid: Txid, branches: readonly BranchId[]): void {
    for (const branch of branches) this.#ends.settle(branchKey(this.#parts.clusterId, txid, branch).gid, true)
  }

  /** From now on every new question is answered with 503. */
  refuse(): void {
    this.#isRefusing = true
  }

  /** The same, and what was asked before gets no better answer. */
  close(): void {
    this.refuse()
    this.#votes.giveUp()
    this.#ends.giveUp()
  }

  /** Never rejects. */
  async answer(request: DeskRequest): Promise<DeskAnswer> {
    const { credentials, clock } = this.#parts
    const target = targetOf(request.url)
    const operation = target === undefined ? undefined : operationOf(request.method, target)
    if (target === undefined || operation === undefined) {
      return problem(404, 'SERVICE_PATH_UNKNOWN', `there is nothing at ${request.method} ${request.url.slice(0, 200)}`)
    }
    const signed = { method: request.method, target, body: request.body }
    const objection = checkCredentials(credentials, clock.wallMs() / 1_000, signed, request.header)
    if (objection !== undefined) return problem(401, 'SERVICE_UNAUTHORIZED', objection)
    if (this.#isRefusing) return problem(503, 'PARTICIPANT_BUSY', 'this instance is closing, or has lost its journal')
    return this.#carryOut(operation, target, request.body)
  }

  async #carryOut(operation: ServiceOperation, target: string, body: Uint8Array): Promise<DeskAnswer> {
    switch (operation) {
      case 'inDoubt':
        return this.#list(new URL(target, 'http://service').searchParams.get('cluster') ?? '')
      case 'prepare':
        return this.#checked(prepareRequest, body, (key, { timeoutMs }) => this.#prepare(key, timeoutMs))
      default:
        return this.#checked(decisionRequest, body, (key) => this.#decide(key, operation))
    }
  }

  async #checked<Request extends DecisionRequest>(
    schema: z.ZodType<Request>,
    body: Uint8Array,
    work: (key: BranchKey, request: Request) => Promise<DeskAnswer>,
  ): Promise<DeskAnswer> {
    const parsed = schema.safeParse(jsonOf(body))
    if (!parsed.success) {
      const [issue] = parsed.error.issues
      return problem(400, 'SERVICE_BAD_REQUEST', `${issue?.path.join('.') || 'the body'}: ${issue?.message}`)
    }
    const { cluster, participant, txid, branch, gid } = parsed.data
    const { name, clusterId } = this.#parts
    if (cluster !== clusterId || participant !== name) return this.#wrong(participant, cluster)
    const key = branchKey(clusterId, parseTxid(txid), parseBranchId(branch))
    if (key.gid !== gid) return problem(400, 'SERVICE_BAD_REQUEST', 'gid: it does not name this txid and branch')
    return work(key, parsed.data)
  }

  async #prepare({ txid, branch, gid }: BranchKey, timeoutMs: number): Promise<DeskAnswer> {
    const { keeper } = this.#parts
    if (!keeper.mayVote(gid)) {
      return problem(404, 'BRANCH_UNKNOWN', 'this instance holds no such branch; another one may')
    }
    const awaited = this.#votes.of(gid)
    keeper.prepare(txid, branch, timeoutMs, (vote) => this.#votes.settle(gid, vote))
    const vote = await awaited
    return vote === undefined ? still('the vote') : done({ txid, branch, gid, vote })
  }

  async #decide({ txid, branch, gid }: BranchKey, decision: Decision): Promise<DeskAnswer> {
    const { keeper } = this.#parts
    const end = keeper.table.endOf(gid)
    if (end !== undefined && contradicts(end, decision)) {
      const message = `the branch was ${end} here before; it is left as it is`
      return { status: 409, body: { code: 'BRANCH_ENDED_OTHERWISE', message, txid, branch, gid, outcome: end } }
    }
    const awaited = this.#ends.of(gid)
    keeper.decide(txid, branch, decision)
    if ((await awaited) === undefined) return still(`the ${decision}`)
    // Somebody may have told the opposite at the same time: only how it ended counts.
    const ended = keeper.table.endOf(gid)
    if (ended !== undefined && contradicts(ended, decision)) return still(`the ${decision}`)
    return done({ txid, branch, gid, outcome: decision === 'commit' ? 'committed' : 'aborted' })
  }

  #list(cluster: string): DeskAnswer {
    const { name, clusterId, keeper, clock } = this.#parts
    if (cluster !== clusterId) return this.#wrong(name, cluster)
    const nowMs = clock.monotonicMs()
    const branches = [...keeper.table.all()]
      // Of those that end the decision is here already.
      .filter(({ phase }) => phase !== 'ending')
      .map((open) => listed(open, nowMs))
      .sort((one, other) => one.dueInMs - other.dueInMs)
      .slice(0, LISTED_MAX)
    return done({ participant: name, branches } satisfies InDoubtAnswer)
  }

  #wrong(participant: string, cluster: string): DeskAnswer {
    const { name, clusterId } = this.#parts
    const message = `the question is for ${participant} of cluster ${cluster}, and this is ${name} of ${clusterId}`
    return problem(409, 'BRANCH_WRONG_TICKET', message)
  }
}

function contradicts(end: BranchEnd, decision: Decision): boolean {
  return end !== 'readOnly' && end !== (decision === 'commit' ? 'committed' : 'aborted')
}

function listed({ key, phase, vote, dueMs }: OpenBranch, nowMs: number): ListedBranch {
  if (phase === 'voted') return { ...key, state: vote === 'abort' ? 'refused' : 'prepared', dueInMs: 0 }
  return { ...key, state: 'joined', dueInMs: Math.max(0, Math.ceil(dueMs - nowMs)) }
}

function still(what: string): DeskAnswer {
  return problem(503, 'BRANCH_STILL_WORKING', `${what} is not done yet; ask again`)
}

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString('utf8'))
  } catch {
    return undefined
  }
}
