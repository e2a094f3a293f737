import { type BranchId, makeTxid, parseClusterId, type Txid } from '../base/index.ts'
import type { BranchKind, BranchRecord } from '../txn/index.ts'
import { Coordinator, type CoordinatorParts } from './coordinator.ts'
import { MemoryLog } from './memory-log.test-support.ts'
import type { CoordinatorOptions } from './options.ts'
import type { ParticipantMessage, ParticipantPort } from './participant-port.ts'
import type { AbortRequest, CommitRequest, InquireRequest, Reply } from './requests.ts'
import { settle, VirtualClock } from './virtual-clock.test-support.ts'

export const CLUSTER = parseClusterId('test')

let made = 0

/** A txid like no other of this process. */
export function newTxid(unixMs = 1_750_000_000_000): Txid {
  const random = Buffer.alloc(10)
  random.writeUInt32BE(++made, 6)
  return makeTxid(unixMs, random)
}

export function branch(
  number: number,
  participant: string,
  kind: BranchKind = 'local',
  vote: BranchRecord['vote'] = kind === 'local' ? 'commit' : undefined,
): BranchRecord {
  return {
    branch: number as BranchId,
    kind,
    participant,
    vote,
    evidence: vote === 'commit' ? `${700 + number}` : undefined,
  }
}

/** Two databases that voted. */
export const LOCAL: readonly BranchRecord[] = [branch(0, 'flights'), branch(1, 'hotels')]
/** A database that voted, and two services that must be asked. */
export const MIXED: readonly BranchRecord[] = [
  branch(0, 'flights'),
  branch(1, 'mail', 'service'),
  branch(2, 'stock', 'kv'),
]

/** Participants that only write down what they are told. */
export class FakeParticipants implements ParticipantPort {
  readonly sent: (ParticipantMessage & { readonly to: string })[] = []
  readonly strangers = new Set<string>()

  knows(participant: string): boolean {
    return !this.strangers.has(participant)
  }

  send(to: string, message: ParticipantMessage): void {
    this.sent.push({ ...message, to })
  }

  /** What was sent since the last call, as `kind to`. */
  take(): string[] {
    return this.sent
      .splice(0)
      .map((message) => `${message.kind === 'decision' ? message.decision : 'prepare'} ${message.to}`)
  }
}

/** A coordinator on a log that the test controls. */
export class Bench {
  readonly clock = new VirtualClock()
  readonly participants = new FakeParticipants()
  readonly log: MemoryLog
  readonly coordinator: Coordinator

  constructor(options: Partial<CoordinatorOptions> = {}, log = new MemoryLog(), parts: Partial<CoordinatorParts> = {}) {
    this.log = log
    const { clock, participants } = this
    this.coordinator = new Coordinator({ log, clusterId: CLUSTER, clock, seed: 1, options, participants, ...parts })
  }

  /** Starts and leads. */
  static async leading(
    options: Partial<CoordinatorOptions> = {},
    parts: Partial<CoordinatorParts> = {},
  ): Promise<Bench> {
    const bench = new Bench(options, new MemoryLog(), parts)
    await bench.coordinator.start()
    bench.log.lead()
    return bench
  }

  /** Another coordinator of the same group, which takes over. */
  async successor(options: Partial<CoordinatorOptions> = {}): Promise<Bench> {
    const bench = new Bench(options, new MemoryLog(this.log.committed))
    await bench.coordinator.start()
    bench.log.lead(this.coordinator.status().log.raft.currentTerm + 1)
    return bench
  }

  commit(txid: Txid, branches: readonly BranchRecord[] = LOCAL, over: Partial<CommitRequest> = {}): Answer {
    const request = { clusterId: CLUSTER, txid, timeoutMs: 30_000, branches, ...over }
    return new Answer((reply) => this.coordinator.commit(request, reply))
  }

  abort(txid: Txid, branches: readonly BranchRecord[] = [], over: Partial<AbortRequest> = {}): Answer {
    const request = { clusterId: CLUSTER, txid, participant: undefined, branches, ...over }
    return new Answer((reply) => this.coordinator.abort(request, reply))
  }

  inquire(txid: Txid, settles = true, over: Partial<InquireRequest> = {}): Answer {
    const request = { clusterId: CLUSTER, txid, settle: settles, ...over }
    return new Answer((reply) => this.coordinator.inquire(request, reply))
  }

  ack(txid: Txid, ...branches: number[]): void {
    this.coordinator.ack(txid, branches as BranchId[])
  }

  vote(txid: Txid, number: number, vote: 'commit' | 'abort' | 'readOnly' = 'commit'): void {
    this.coordinator.vote(txid, number as BranchId, vote, undefined)
  }

  /** The kinds of the committed records. */
  kinds(): string[] {
    return this.log.records().map(({ kind }) => kind)
  }
}

/** One request's answer: what came, and how often. */
export class Answer {
  readonly replies: Reply[] = []

  constructor(ask: (reply: (reply: Reply) => void) => void) {
    ask((reply) => this.replies.push(reply))
  }

  /** In one word: `committed`, `aborted requested`, `refused OVERLOADED`, or `nothing` so far. */
  get word(): string {
    const [reply] = this.replies
    if (reply === undefined) return 'nothing'
    if (this.replies.length > 1) return `${this.replies.length} replies`
    if (reply.kind === 'refused') return `refused ${reply.code}`
    const { outcome } = reply
    return outcome.kind === 'aborted' ? `aborted ${outcome.reason}` : outcome.kind
  }
}

export { settle }
