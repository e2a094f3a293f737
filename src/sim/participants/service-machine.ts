import { type ClusterId, sleep } from '../../base/index.ts'
import { httpParticipant } from '../../participant/http/index.ts'
import { type InstanceSeams, participant } from '../../participant/index.ts'
import type { Disk } from '../../wal/index.ts'
import type { DiskedWorld, SimProcess } from '../kernel/types.ts'
import { DurableVotes } from './durable-votes.ts'
import { SERVICE_CREDENTIALS, serveHttp } from './http-world.ts'
import { ParticipantMachine, type Running } from './machine.ts'
import type { LedgerBranch, ServiceLedger, ServiceWork } from './service-ledger.ts'
import { tappedNetwork } from './tapped-network.ts'

/** How one simulated instance of a service is set up. */
export interface ServiceMachineOptions {
  readonly name: string
  readonly instance: number
  readonly host: string
  readonly clusterId: ClusterId
  /** Called at this URL by the coordinators; undefined: it connects to them. */
  readonly url: string | undefined
  readonly ledger: ServiceLedger
  readonly lockWaitMs: number
  readonly rewriteRecords: number
  readonly coordinators: () => readonly string[]
  /** It has just voted to commit. */
  readonly onVote: (machine: ParticipantMachine) => void
}

/** A call to a service within a transaction, and its answer. */
export interface ServiceCall {
  readonly ticket: string
  readonly work: ServiceWork
}
export type ServiceReply = { readonly balance: number } | { readonly error: string }

const JOURNAL = '/journal'
const SEGMENT_BYTES = 16 * 1024
/** Records of the journal from which a vote to commit follows: `prepared`, and `committed`, also by another instance's vote. */
const VOTES = [2, 5]

/** A machine with one instance of a service, over the production participant and its journal. */
export class ServiceMachine extends ParticipantMachine {
  /** Where applications call it. */
  readonly workAddress: string

  constructor(world: DiskedWorld, options: ServiceMachineOptions) {
    const name = `${options.name}-${options.instance}`
    super(world, name, options.host, (process, disk) => open(world, votes, options, process, disk))
    this.workAddress = `work:${name}`
    const votes = new DurableVotes(world, this.disk, JOURNAL, VOTES, () => options.onVote(this))
  }
}

async function open(
  world: DiskedWorld,
  votes: DurableVotes,
  options: ServiceMachineOptions,
  process: SimProcess,
  disk: Disk,
): Promise<Running> {
  const { name, clusterId, url, coordinators, instance } = options
  const by = `${name}-${instance}`
  const shared = { name, clusterId, journal: JOURNAL, ...handlersOf(options.ledger, process) }
  const seams: Partial<InstanceSeams> = {
    clock: process.clock,
    disk,
    randomFill: process.randomFill,
    later: process.later,
    journal: { segmentBytesMax: SEGMENT_BYTES, rewriteRecords: options.rewriteRecords },
    network: tappedNetwork(process.network, (message) => {
      if (message.kind !== 'vote') return
      world.mark(`service: votes ${message.vote}`)
      if (message.vote === 'commit') votes.sent(by, message.txid, message.branch)
    }),
  }
  const opened =
    url === undefined
      ? await participant({ ...shared, coordinators: coordinators() }, seams)
      : await httpParticipant({ ...shared, credentials: SERVICE_CREDENTIALS }, seams)
  if (opened.open().length > 0) world.mark('service: opens with branches in its journal')
  if (url !== undefined && 'answer' in opened) {
    serveHttp(process, url, async (request) => {
      const answer = await opened.answer(request)
      const { vote, txid, branch } = answer.body as { vote?: string; txid?: never; branch?: number }
      if (vote !== undefined) world.mark(`http: votes ${vote}`)
      if (vote === 'commit') votes.sent(by, txid as never, branch ?? 0)
      return answer
    })
  }
  takeCalls(process, `work:${by}`, (call) =>
    opened.work(call.ticket, (key) => options.ledger.work(process.clock, key, call.work, options.lockWaitMs)),
  )
  return {
    failed: opened.failed,
    close: () => opened.close(),
    unsettled: () => {
      const open = opened.open()
      return open.length === 0 ? [] : [`has ${open.length} branches: ${open[0]?.gid} is ${open[0]?.state}`]
    },
  }
}

/** What the service's author wrote. Each takes a moment before and after it has changed the database. */
function handlersOf(ledger: ServiceLedger, { clock, random }: SimProcess) {
  const slowly = async <T>(action: () => T): Promise<T> => {
    await sleep(clock, random.below(4))
    if (random.chance(0.02)) throw new Error('the database did not answer')
    const done = action()
    await sleep(clock, random.below(4))
    return done
  }
  return {
    prepare: (key: LedgerBranch) => slowly(() => ledger.prepare(key)),
    commit: (key: LedgerBranch) => slowly(() => ledger.commit(key)),
    abort: (key: LedgerBranch) => slowly(() => ledger.abort(key)),
  }
}

function takeCalls(process: SimProcess, address: string, work: (call: ServiceCall) => Promise<number>): void {
  process.channels.listen(address, (channel) => {
    channel.onMessage = (value) => {
      const reply = (said: ServiceReply): void => channel.send(said)
      work(value as ServiceCall).then(
        (balance) => reply({ balance }),
        (error: Error) => reply({ error: error.message }),
      )
    }
  })
}
