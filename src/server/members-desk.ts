import { z } from 'zod'
import { ConcordatError, type NodeId, parseNodeId } from '../base/index.ts'
import {
  type ChangeOptions,
  type MembersRequest,
  type MembersView,
  NotLeaderError,
  type Replica,
} from '../replica/index.ts'
import { parseAddress } from './address.ts'
import { address, checkedBy } from './config.ts'

const node = checkedBy(z.number(), parseNodeId)
const force = z.strictObject({ reason: z.string().trim().min(1, 'say why').max(500) }).optional()

const listQuestion = z.strictObject({ own: z.boolean().default(false) })
const addQuestion = z.strictObject({ node, address, force })
const promoteQuestion = z.strictObject({ node, replaces: node.optional(), force })
const nodeQuestion = z.strictObject({ node, force })
const transferQuestion = z.strictObject({ node: node.optional() })

/** What the desk needs of the log. */
export type MembersPort = Pick<Replica, 'members' | 'changeMembers' | 'transferLeadership'>

/** The new leader. */
export interface TransferAnswer {
  readonly leader: number
  /** It led before: nothing was done. */
  readonly already?: true
}

/** The leadership should go to a node that can't have it. Nothing was done. */
class NoVoterError extends ConcordatError {
  readonly code = 'MEMBERS_UNKNOWN_MEMBER'

  constructor(nodeId: NodeId, role: 'learner' | undefined) {
    const what = role === undefined ? 'it is no member' : 'it is a learner; promote it first'
    super(`node ${nodeId} is no voter (${what}), and only voters can lead. Look at: concordat members list`)
  }
}

/** Operators' questions about the members. */
export class MembersDesk {
  readonly #self: number
  readonly #port: MembersPort

  constructor(self: number, port: MembersPort) {
    this.#self = self
    this.#port = port
  }

  /** Undefined: the method is no question about members. @throws z.ZodError for a question that can't be read */
  answer(method: string, question: unknown): Promise<MembersView | TransferAnswer> | undefined {
    switch (method) {
      case 'members.list':
        return this.#list(listQuestion.parse(question))
      case 'members.add': {
        const { node: nodeId, address: text, force: why } = addQuestion.parse(question)
        return this.#change({ kind: 'add', nodeId, ...parseAddress(text) }, why)
      }
      case 'members.promote': {
        const { node: nodeId, replaces, force: why } = promoteQuestion.parse(question)
        return this.#change({ kind: 'promote', nodeId, ...(replaces === undefined ? {} : { replaces }) }, why)
      }
      case 'members.demote':
      case 'members.remove': {
        const { node: nodeId, force: why } = nodeQuestion.parse(question)
        return this.#change({ kind: method === 'members.remove' ? 'remove' : 'demote', nodeId }, why)
      }
      case 'transfer':
        return this.#transfer(transferQuestion.parse(question))
      default:
        return undefined
    }
  }

  /** Only the leader knows how far the others are; `own` asks for whatever this node has heard. */
  async #list({ own }: z.output<typeof listQuestion>): Promise<MembersView> {
    const view = this.#port.members()
    if (!own && view.leader !== this.#self) throw new NotLeaderError(view.leader)
    return view
  }

  #change(request: MembersRequest, why: ChangeOptions['force']): Promise<MembersView> {
    return this.#port.changeMembers(request, why === undefined ? {} : { force: why })
  }

  async #transfer({ node: to }: z.output<typeof transferQuestion>): Promise<TransferAnswer> {
    const { leader, members } = this.#port.members()
    if (to !== undefined && leader === this.#self) {
      if (to === leader) return { leader, already: true }
      const role = members.find(({ nodeId }) => nodeId === to)?.role
      if (role === undefined || role === 'learner') throw new NoVoterError(to, role)
    }
    return { leader: await this.#port.transferLeadership(to) }
  }
}
