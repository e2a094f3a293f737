import type { NodeId } from '../../base/index.ts'
import type { ChangeOptions, MembersRequest } from '../../replica/index.ts'
import { parseAddress } from '../../server/index.ts'
import type { SimNode } from '../fleet/node.ts'
import type { FaultContext } from './context.ts'
import type { FaultAction } from './fault.ts'
import { restart } from './process-faults.ts'

type Action<Kind extends FaultAction['kind']> = Extract<FaultAction, { kind: Kind }>

/** How long an operator waits before it tries again. */
const RETRY_MS = 150
/** Machines that an operator would have at most, and voters at least. */
const MACHINES_MAX = 7
const VOTERS_MIN = 3

export function transfer(context: FaultContext, { to }: Action<'transfer'>): void {
  const { leader } = context.fleet
  const { process, server } = leader ?? {}
  if (process === undefined || server === undefined) return
  context.world.dispatch(process, () => {
    server.replica.transferLeadership(to as NodeId | undefined).then(
      () => context.world.mark('leadership transferred'),
      () => context.world.mark('transfer refused'),
    )
  })
}

export function addMember(context: FaultContext, { forced, forMs }: Action<'addMember'>): void {
  if (!mayChange(context) || machinesOf(context) >= MACHINES_MAX) return
  const node = context.fleet.addNode()
  const requests: MembersRequest[] = [addAs(node), { kind: 'promote', nodeId: node.nodeId }]
  new Procedure(context, forMs, requests, () => {}, forced).begin()
}

export function removeMember(context: FaultContext, { target, forMs }: Action<'removeMember'>): void {
  const node = context.node(target)
  if (node === undefined || !mayChange(context) || !isSpare(context, node)) return
  new Procedure(context, forMs, [{ kind: 'remove', nodeId: node.nodeId }], () => {
    context.world.mark('member removed')
    retire(context, node)
  }).begin()
}

export function demote(context: FaultContext, { target, forMs }: Action<'demote' | 'promote'>): void {
  const node = context.node(target)
  if (node === undefined || !mayChange(context) || !isSpare(context, node)) return
  new Procedure(context, forMs, [{ kind: 'demote', nodeId: node.nodeId }]).begin()
}

export function promote(context: FaultContext, { target, forMs }: Action<'demote' | 'promote'>): void {
  const node = context.node(target)
  if (node === undefined || !mayChange(context)) return
  new Procedure(context, forMs, [{ kind: 'promote', nodeId: node.nodeId }]).begin()
}

export function replaceMember(context: FaultContext, { target, forMs }: Action<'replaceMember'>): void {
  const node = context.node(target)
  if (node === undefined || !mayChange(context) || !context.atlas.mayDamage(node)) return
  context.atlas.noteLoss(node)
  node.crash('power')
  node.isGone = true
  context.world.note(node.name, 'is lost, with its disk')
  const successor = context.fleet.addNode()
  const { nodeId } = successor
  new Procedure(
    context,
    forMs,
    [addAs(successor), { kind: 'promote', nodeId, replaces: node.nodeId }, { kind: 'remove', nodeId: node.nodeId }],
    () => {
      context.world.mark('dead member replaced')
      redeploy(context)
    },
  ).begin()
}

export function swapMember(context: FaultContext, { target, forMs }: Action<'swapMember'>): void {
  const node = context.node(target)
  if (node === undefined || node.isGone || !mayChange(context) || machinesOf(context) >= MACHINES_MAX) return
  const successor = context.fleet.addNode()
  const promotion: MembersRequest = { kind: 'promote', nodeId: successor.nodeId, replaces: node.nodeId }
  new Procedure(context, forMs, [addAs(successor), promotion], () => {
    context.world.mark('member swapped')
    retire(context, node)
  }).begin()
}

export function upgrade(context: FaultContext, { target, downMs }: Action<'upgrade'>): void {
  const node = context.node(target)
  if (node === undefined) return
  node.protocolMinor = 1
  restart(context, { kind: 'restart', target: node.nodeId, downMs })
}

/** Several requests, one after the other, each repeated until it is done or the operator has had enough. */
class Procedure {
  readonly #context: FaultContext
  readonly #untilMs: number
  readonly #requests: readonly MembersRequest[]
  readonly #done: () => void
  readonly #options: ChangeOptions
  #over = (): void => {}

  constructor(
    context: FaultContext,
    forMs: number,
    requests: readonly MembersRequest[],
    done: () => void = () => {},
    forced = false,
  ) {
    this.#options = forced ? { force: { reason: 'a simulated operator is in a hurry' } } : {}
    this.#context = context
    this.#untilMs = context.world.nowMs + forMs
    this.#requests = requests
    this.#done = done
  }

  begin(): void {
    this.#over = this.#context.atlas.beginChange()
    this.#try(0)
  }

  #try(step: number): void {
    const { world, healed, fleet } = this.#context
    const request = this.#requests[step]
    if (request === undefined || healed || world.nowMs > this.#untilMs) {
      this.#over()
      this.#over = () => {}
      if (request === undefined) this.#done()
      return
    }
    const { process, server } = leaderOf(fleet) ?? {}
    const again = (): void => this.#context.until(RETRY_MS, () => this.#try(step))
    if (process === undefined || server === undefined) return again()
    let answered = false
    world.dispatch(process, () => {
      server.replica.changeMembers(request, this.#options).then(
        () => {
          if (answered || !process.alive) return
          answered = true
          world.mark(`members: ${request.kind} done`)
          world.after(0, () => this.#try(step + 1))
        },
        (error: Error & { readonly code?: string }) => {
          if (answered || !process.alive) return
          answered = true
          world.mark(`members: ${error.code ?? error.name}`)
          // Done by an earlier attempt whose answer was lost.
          world.after(0, () => (error.code === 'MEMBERS_UNCHANGED' ? this.#try(step + 1) : again()))
        },
      )
    })
    // The leader may die, and its answer with it.
    this.#context.until(2_000, () => {
      if (!answered) again()
      answered = true
    })
  }
}

function addAs(node: SimNode): MembersRequest {
  return { kind: 'add', nodeId: node.nodeId, ...parseAddress(node.address) }
}

/** The operator switches a removed machine off, some time later: until then it may try to disturb. */
function retire(context: FaultContext, node: SimNode): void {
  context.world.after(1_500, () => {
    node.isGone = true
    node.crash('killed')
    redeploy(context)
  })
}

/** Applications start again with the addresses of today: sooner or later nobody is left of those that they knew. */
function redeploy({ world, victims }: FaultContext): void {
  for (const victim of victims) {
    if (victim.kind !== 'application') continue
    world.process(victim.name)?.kill('killed')
    world.after(20, () => victim.restart())
  }
}

function machinesOf({ fleet }: FaultContext): number {
  return fleet.nodes.filter(({ isGone }) => !isGone).length
}

/** A fleet of one has no operator, an old release knows no changes, and damage counts by the voters that there are. */
function mayChange({ fleet, atlas }: FaultContext): boolean {
  const { nodes } = fleet
  if (nodes.length < VOTERS_MIN || !atlas.isWhole) return false
  return nodes.every(({ isGone, protocolMinor }) => isGone || protocolMinor > 0)
}

/** Whoever was elected last, also when it does not serve yet. */
function leaderOf({ nodes }: FaultContext['fleet']): SimNode | undefined {
  let leader: SimNode | undefined
  let newestTerm = 0
  for (const node of nodes) {
    const raft = node.server?.replica.status().raft
    if (raft?.role !== 'leader' || raft.currentTerm <= newestTerm) continue
    leader = node
    newestTerm = raft.currentTerm
  }
  return leader
}

/** So many voters stay that one may be lost. */
function isSpare({ fleet }: FaultContext, { nodeId }: SimNode): boolean {
  return fleet.raftChecks.configurations.all.every((voters) => !voters.includes(nodeId) || voters.length > VOTERS_MIN)
}
