import { z } from 'zod'
import { type ClusterId, type NodeId, parseTxid, toError } from '../base/index.ts'
import type { Coordinator } from '../coordinator/index.ts'
import type { DecisionLog } from '../replica/index.ts'
import type { BackupDesk } from './backup-desk.ts'
import type { GuardDesk } from './guard-desk.ts'
import { heuristicsOf } from './heuristics.ts'
import type { InDoubtDesk } from './in-doubt-desk.ts'
import type { MembersDesk } from './members-desk.ts'
import type { SettleDesk } from './settle-desk.ts'
import type { NodeStatus } from './status.ts'

/** The answer to an operator's question. */
export type DeskAnswer =
  | { readonly kind: 'result'; readonly json: string }
  | {
      readonly kind: 'refused'
      readonly code: string
      readonly message: string
      readonly retryable: boolean
      readonly leader: NodeId | undefined
    }

interface DeskParts {
  readonly coordinator: Coordinator
  readonly log: DecisionLog
  readonly clusterId: ClusterId
  readonly members: MembersDesk
  readonly guard: GuardDesk
  readonly backups: BackupDesk
  readonly inDoubt: InDoubtDesk
  readonly settle: SettleDesk
  readonly status: () => NodeStatus
}

/** An answer's size; a frame holds four times as much. */
const ANSWER_CHARACTERS_MAX = 1_000_000

const outcomeQuestion = z.object({
  txid: z.string(),
  cluster: z.string().optional(),
  settle: z.boolean().default(false),
})
const listQuestion = z.object({
  state: z.enum(['open', 'preparing', 'committed', 'aborted', 'heuristic']).default('open'),
  limit: z.int().min(1).max(1_000).default(50),
})

/**
 * Answers operators' questions. `status` is this node's own view, `list`, `guard` and backups are answered by any node that hears
 * the leader, the others by the leader only.
 */
export class AdminDesk {
  readonly #parts: DeskParts

  constructor(parts: DeskParts) {
    this.#parts = parts
  }

  /** @param from where the question came from, as far as the connection tells; it goes into records */
  ask(method: string, json: string, answer: (answer: DeskAnswer) => void, from = 'unknown'): void {
    this.#answer(method, json, from).then(answer, (error: unknown) => answer(this.#refusalOf(error)))
  }

  async #answer(method: string, json: string, from: string): Promise<DeskAnswer> {
    const parameters: unknown = JSON.parse(json)
    if (method === 'status') return result(this.#parts.status())
    if (method === 'list') return await this.#list(listQuestion.parse(parameters))
    if (method === 'outcome') return await this.#outcome(outcomeQuestion.parse(parameters))
    const { members, guard, backups, inDoubt, settle } = this.#parts
    for (const desk of [members, guard, backups, inDoubt, settle]) {
      const answer = desk.answer(method, parameters, from)
      if (answer !== undefined) return result(await answer)
    }
    return refused(
      'ADMIN_UNKNOWN_METHOD',
      `this coordinator knows no question named ${JSON.stringify(method)}; it may be older than the command`,
    )
  }

  async #list({ state, limit }: z.output<typeof listQuestion>): Promise<DeskAnswer> {
    // Whoever has applied what was committed before now shows the truth of now.
    await this.#parts.log.readBarrier()
    const { coordinator } = this.#parts
    if (state === 'heuristic') return result(heuristicsOf(coordinator).slice(0, limit))
    if (state !== 'open') return result(coordinator.list({ state, limit }))
    return result(coordinator.list({ limit }).filter((each) => each.state !== 'completed'))
  }

  async #outcome({ txid: text, cluster, settle }: z.output<typeof outcomeQuestion>): Promise<DeskAnswer> {
    const { clusterId, coordinator } = this.#parts
    if (cluster !== undefined && cluster !== clusterId) {
      return refused(
        'WRONG_CLUSTER',
        `that branch belongs to cluster ${cluster}, and this is ${clusterId}; ask its coordinators`,
      )
    }
    const txid = parseTxid(text)
    return await new Promise((resolve) => {
      coordinator.inquire({ clusterId, txid, settle }, (reply) =>
        resolve(reply.kind === 'outcome' ? result(reply.outcome) : reply),
      )
    })
  }

  #refusalOf(thrown: unknown): DeskAnswer {
    const error = toError(thrown) as Error & {
      readonly code?: string
      readonly retryable?: boolean
      readonly leader?: NodeId
    }
    if (thrown instanceof SyntaxError || thrown instanceof z.ZodError) {
      const what = thrown instanceof z.ZodError ? z.prettifyError(thrown) : error.message
      return refused('ADMIN_BAD_QUESTION', `the question can't be read: ${what}`)
    }
    return {
      kind: 'refused',
      code: error.code ?? 'INTERNAL',
      message: error.message,
      retryable: error.retryable ?? false,
      leader: error.leader,
    }
  }
}

function result(value: unknown): DeskAnswer {
  const json = JSON.stringify(value)
  if (json.length <= ANSWER_CHARACTERS_MAX) return { kind: 'result', json }
  return refused('ADMIN_ANSWER_TOO_LARGE', 'the answer does not fit in one message; ask for fewer with --limit')
}

function refused(code: string, message: string): DeskAnswer {
  return { kind: 'refused', code, message, retryable: false, leader: undefined }
}
