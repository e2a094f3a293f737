import { type Clock, ConcordatError, systemClock, type Txid, toError } from '../base/index.ts'
import type { MembersView } from '../replica/index.ts'
import {
  type Connection,
  dial,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  type ServerMessage,
  type TlsOptions,
  tcpNetwork,
} from '../transport/index.ts'
import type { Decision, Knowledge, TransactionView } from '../txn/index.ts'
import { parseAddress } from './address.ts'
import type { GuardAnswer } from './guard-desk.ts'
import type { InDoubtAnswer } from './in-doubt-view.ts'
import type { TransferAnswer } from './members-desk.ts'
import type { ForceAnswer, SettleAnswer, SettlementsAnswer } from './settle-view.ts'
import type { NodeStatus } from './status.ts'

/** No coordinator answered an operator's question. */
export class CoordinatorUnreachableError extends ConcordatError {
  readonly code = 'COORDINATOR_UNREACHABLE'
  override readonly retryable = true
}

type Refusal = Pick<Extract<ServerMessage, { kind: 'refused' }>, 'code' | 'message' | 'retryable' | 'leader'>

/** A coordinator refused an operator's question; `refusal` is its own code. */
export class AdminRefusedError extends ConcordatError {
  readonly code = 'ADMIN_REFUSED'
  override readonly retryable: boolean
  readonly refusal: string
  /** Where the leader is, when the coordinator that refused knows one. */
  readonly leader: string | undefined

  constructor({ code, message, retryable, leader }: Refusal) {
    super(message)
    this.refusal = code
    this.retryable = retryable
    this.leader = leader?.address
  }
}

/** How to ask. */
export interface AskOptions {
  readonly timeoutMs: number
  readonly tls?: TlsOptions
  readonly clock?: Clock
}

/** The questions that only the leader answers, each with its answer's type. */
export interface LeaderQuestions {
  outcome: {
    readonly question: {
      readonly method: 'outcome'
      readonly txid: Txid
      readonly cluster: string | undefined
      readonly settle: boolean
    }
    readonly answer: Knowledge
  }
  list: {
    readonly question: { readonly method: 'list'; readonly state: string; readonly limit: number }
    readonly answer: readonly TransactionView[]
  }
  'in-doubt': {
    readonly question: { readonly method: 'in-doubt'; readonly limit: number; readonly waitMs: number }
    readonly answer: InDoubtAnswer
  }
  'members.list': { readonly question: { readonly method: 'members.list' }; readonly answer: MembersView }
  'members.add': {
    readonly question: { readonly method: 'members.add'; readonly node: number; readonly address: string } & Forced
    readonly answer: MembersView
  }
  'members.promote': {
    readonly question: {
      readonly method: 'members.promote'
      readonly node: number
      readonly replaces: number | undefined
    } & Forced
    readonly answer: MembersView
  }
  'members.demote': {
    readonly question: { readonly method: 'members.demote'; readonly node: number } & Forced
    readonly answer: MembersView
  }
  'members.remove': {
    readonly question: { readonly method: 'members.remove'; readonly node: number } & Forced
    readonly answer: MembersView
  }
  guard: { readonly question: { readonly method: 'guard' }; readonly answer: GuardAnswer }
  'guard.lift': {
    readonly question: { readonly method: 'guard.lift'; readonly reason: string }
    readonly answer: GuardAnswer
  }
  settle: {
    readonly question: {
      readonly method: 'settle'
      readonly txid: Txid
      readonly cluster: string | undefined
      readonly waitMs: number
    }
    readonly answer: SettleAnswer
  }
  'settle.force': {
    readonly question: {
      readonly method: 'settle.force'
      readonly txid: Txid
      readonly branch: number
      readonly action: Decision
      readonly mean: 'asDecided' | 'againstDecision' | 'withoutDecision'
      readonly by: string
      readonly reason: string
      readonly waitMs: number
    }
    readonly answer: ForceAnswer
  }
  'settle.acknowledge': {
    readonly question: {
      readonly method: 'settle.acknowledge'
      readonly txid: Txid
      readonly by: string
      readonly reason: string
    }
    readonly answer: SettlementsAnswer
  }
  'settle.list': {
    readonly question: { readonly method: 'settle.list'; readonly limit: number }
    readonly answer: SettlementsAnswer
  }
  transfer: {
    readonly question: { readonly method: 'transfer'; readonly node: number | undefined }
    readonly answer: TransferAnswer
  }
}

interface Forced {
  /** Leaves out the safeguards; the reason goes into the replicated log. */
  readonly force: { readonly reason: string } | undefined
}

/** A question for the leader. */
export type Method = keyof LeaderQuestions

/** One coordinator's own view. @throws CoordinatorUnreachableError, AdminRefusedError */
export async function askStatus(address: string, options: AskOptions): Promise<NodeStatus> {
  return (await ask(address, 'status', {}, options)) as NodeStatus
}

/** What one coordinator has heard of the members. @throws CoordinatorUnreachableError, AdminRefusedError */
export async function askOwnMembers(address: string, options: AskOptions): Promise<MembersView> {
  return (await ask(address, 'members.list', { own: true }, options)) as MembersView
}

/** What one coordinator sees in doubt, leader or not. @throws CoordinatorUnreachableError, AdminRefusedError */
export async function askOwnInDoubt(
  address: string,
  question: { readonly limit: number; readonly waitMs: number },
  options: AskOptions,
): Promise<InDoubtAnswer> {
  return (await ask(address, 'in-doubt', { ...question, own: true }, options)) as InDoubtAnswer
}

/**
 * Asks one coordinator after the other until the leader answers, and those as well that they call the leader.
 *
 * @throws CoordinatorUnreachableError when none of them leads or answers, AdminRefusedError when the leader refuses
 */
export async function askLeader<M extends Method>(
  addresses: readonly string[],
  question: LeaderQuestions[M]['question'] & { readonly method: M },
  options: AskOptions,
): Promise<LeaderQuestions[M]['answer']> {
  const { method, ...parameters } = question
  const failures: string[] = []
  // A set keeps the order, and a loop over it reaches what is added meanwhile.
  const candidates = new Set(addresses)
  for (const address of candidates) {
    try {
      return (await ask(address, method, parameters, options)) as LeaderQuestions[M]['answer']
    } catch (error) {
      if (error instanceof AdminRefusedError && error.refusal !== 'NOT_LEADER') throw error
      if (error instanceof AdminRefusedError && error.leader !== undefined) candidates.add(error.leader)
      const { message } = toError(error)
      failures.push(message.startsWith(address) ? message : `${address}: ${message}`)
    }
  }
  throw new CoordinatorUnreachableError(
    `no coordinator could answer; is a majority up, and are all addresses given?\n  ${failures.join('\n  ')}`,
  )
}

async function ask(address: string, method: string, parameters: object, options: AskOptions): Promise<unknown> {
  const clock = options.clock ?? systemClock
  const connection = await connect(address, options, clock)
  try {
    return await answerOf(connection, method, parameters, options.timeoutMs, clock)
  } finally {
    connection.close('the question is answered')
  }
}

/** For several questions on one connection. @throws CoordinatorUnreachableError */
export async function connect(address: string, options: AskOptions, clock: Clock): Promise<Connection> {
  try {
    return await dial({
      network: tcpNetwork(options.tls),
      ...parseAddress(address),
      clock,
      limits: { connectTimeoutMs: options.timeoutMs, handshakeTimeoutMs: options.timeoutMs },
      hello: {
        kind: 'hello',
        protocolMajor: PROTOCOL_MAJOR,
        protocolMinor: PROTOCOL_MINOR,
        role: 'client',
        clusterId: undefined,
        node: undefined,
        name: 'concordat-cli',
      },
    })
  } catch (cause) {
    throw new CoordinatorUnreachableError(`${address} does not answer (${toError(cause).message})`, { cause })
  }
}

/** Asks on a connection, one question at a time. @throws CoordinatorUnreachableError, AdminRefusedError */
export function answerOf(
  connection: Connection,
  method: string,
  parameters: object,
  timeoutMs: number,
  clock: Clock,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(timeoutMs, () =>
      reject(new CoordinatorUnreachableError(`${connection.remoteAddress} did not answer within ${timeoutMs} ms`)),
    )
    const settle = (finish: () => void): void => {
      clock.cancel(timer)
      finish()
    }
    connection.onClose = (cause) =>
      settle(() =>
        reject(new CoordinatorUnreachableError(`${connection.remoteAddress} hung up (${cause.message})`, { cause })),
      )
    connection.onMessage = (message) => {
      const answer = message as ServerMessage
      if (answer.kind === 'adminResult') settle(() => resolve(JSON.parse(answer.json)))
      if (answer.kind === 'refused') settle(() => reject(new AdminRefusedError(answer)))
    }
    connection.send({ kind: 'admin', requestId: 1, method, json: JSON.stringify(parameters) })
  })
}
