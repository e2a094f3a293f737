import type { NodeId } from '../base/index.ts'
import { type ConfigurationTarget, targetOf } from '../raft/index.ts'
import type { Endpoint } from '../transport/index.ts'
import type { MemberDetails } from './member-context.ts'
import { MembersRefusedError } from './member-errors.ts'
import { formatEndpoint, type MemberList } from './member-list.ts'
import type { Member } from './options.ts'

/** What somebody wants of the members. */
export type MembersRequest =
  /** A new node, as a learner; or a member that moved to another address, in the part that it has. */
  | ({ readonly kind: 'add' } & Member)
  /** A learner becomes a voter; with `replaces`, in the same step that voter goes. */
  | { readonly kind: 'promote'; readonly nodeId: NodeId; readonly replaces?: NodeId }
  /** A voter becomes a learner. */
  | { readonly kind: 'demote'; readonly nodeId: NodeId }
  /** A member goes, for good: its id is never used again. */
  | { readonly kind: 'remove'; readonly nodeId: NodeId }
  /** These members and nobody else. */
  | { readonly kind: 'replaceAll'; readonly voters: readonly Member[]; readonly learners: readonly Member[] }

/** A request, worked out. */
export interface MembersPlan {
  readonly target: ConfigurationTarget
  /** Where the members of the target and of the present are. */
  readonly details: ReadonlyMap<NodeId, MemberDetails>
  /** Only addresses change. */
  readonly isMove: boolean
}

/** Works out what `request` makes of `present`. @throws MembersRefusedError when it does not fit */
export function planMembers(present: MemberList, request: MembersRequest): MembersPlan {
  const target = targetFor(present, request)
  const details = new Map(present.details)
  let isMove = false
  for (const { nodeId, host, port } of addressesIn(request)) {
    const known = details.get(nodeId)
    if (known !== undefined && !isSame(known, { host, port })) isMove = true
    details.set(nodeId, { host, port, storeId: known?.storeId })
  }
  for (const member of addressesIn(request)) refuseTaken(member, target, details)
  return { target, details, isMove }
}

function targetFor(present: MemberList, request: MembersRequest): ConfigurationTarget {
  const { voters, learners } = targetOf(present.configuration)
  const isVoter = (nodeId: NodeId) => voters.includes(nodeId)
  const isLearner = (nodeId: NodeId) => learners.includes(nodeId)
  const isRetired = (nodeId: NodeId) => present.isRetired(nodeId)
  const without = (list: readonly NodeId[], gone: NodeId | undefined) => list.filter((nodeId) => nodeId !== gone)
  switch (request.kind) {
    case 'add': {
      const isNew = !isVoter(request.nodeId) && !isLearner(request.nodeId)
      return { voters, learners: isNew ? [...learners, request.nodeId] : learners }
    }
    case 'promote': {
      const { nodeId, replaces } = request
      // Asked again after an answer that got lost: Raft says that nothing changes.
      if (isVoter(nodeId) && (replaces === undefined || isRetired(replaces))) return { voters, learners }
      demand(isLearner(nodeId), nodeId, 'it is no learner; add it first')
      if (replaces !== undefined)
        demand(isVoter(replaces), replaces, 'it is no voter, so it can not be replaced as one')
      return { voters: [...without(voters, replaces), nodeId], learners: without(learners, nodeId) }
    }
    case 'demote':
      if (isLearner(request.nodeId)) return { voters, learners }
      demand(isVoter(request.nodeId), request.nodeId, 'it is no voter')
      return { voters: without(voters, request.nodeId), learners: [...learners, request.nodeId] }
    case 'remove':
      if (isRetired(request.nodeId)) return { voters, learners }
      demand(isVoter(request.nodeId) || isLearner(request.nodeId), request.nodeId, 'it is no member')
      return { voters: without(voters, request.nodeId), learners: without(learners, request.nodeId) }
    case 'replaceAll':
      return { voters: request.voters.map(idOf), learners: request.learners.map(idOf) }
  }
}

function addressesIn(request: MembersRequest): readonly Member[] {
  if (request.kind === 'add') return [request]
  return request.kind === 'replaceAll' ? [...request.voters, ...request.learners] : []
}

/** Two ids at one address: one of them could never be reached, and the mistake would cost an id. */
function refuseTaken(member: Member, { voters, learners }: ConfigurationTarget, details: MembersPlan['details']): void {
  const { nodeId } = member
  const owner = [...voters, ...learners].find((other) => {
    const known = details.get(other)
    return other !== nodeId && known !== undefined && isSame(known, member)
  })
  if (owner === undefined) return
  const what = `${formatEndpoint(member)} is the address of member ${owner}. Give node ${nodeId} its own address. If node ${owner} is gone for good and node ${nodeId} takes its place there, first remove node ${owner}`
  throw new MembersRefusedError('addressTaken', [nodeId], what)
}

function demand(holds: boolean, nodeId: NodeId, otherwise: string): void {
  if (!holds) throw new MembersRefusedError('unknownMember', [nodeId], otherwise)
}

function idOf({ nodeId }: Member): NodeId {
  return nodeId
}

function isSame(a: Endpoint, b: Endpoint): boolean {
  return a.host === b.host && a.port === b.port
}
