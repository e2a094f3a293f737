import { type BranchId, type Prng, sleep, type Txid } from '../../base/index.ts'
import type { ParticipantMessage } from '../../coordinator/index.ts'
import type { ClientMessage } from '../../transport/index.ts'
import type { SimProcess, Victim } from '../kernel/types.ts'
import type { GivenVote } from '../oracle/index.ts'
import { placeOf } from './bank-database.ts'
import { RawLines } from './raw-lines.ts'
import type { RawWorkload } from './raw-workload.ts'

/** A branch as its participant has it on its disk. */
interface Held {
  readonly txid: Txid
  readonly branch: BranchId
  /** `aborted` without a vote: a PREPARE that comes later is refused. */
  state: 'prepared' | 'committed' | 'aborted' | 'readOnly'
  /** When it asks about the outcome, unless it is told before; by true time. */
  askMs: number
}

/** In doubt for so long, it asks; and then less and less often. */
const INQUIRE_AFTER_MS = 1_000
const LOOK_MS = 500

/**
 * A service that votes, as the protocol asks of it and no better: it may be slow, silent, vote twice, or die. What it
 * promised is on its disk, and it inquires when nobody tells it the decision (DESIGN §4).
 */
export class ScriptedParticipant implements Victim {
  readonly kind = 'application'
  readonly name: string
  readonly host: string
  readonly #workload: RawWorkload
  readonly #held = new Map<string, Held>()
  readonly #inDoubt = new Set<Held>()
  #run: { readonly process: SimProcess; readonly lines: RawLines } | undefined

  constructor(workload: RawWorkload, number: number) {
    this.#workload = workload
    this.name = `service-${number}`
    this.host = `127.0.4.${number}`
  }

  restart(): void {
    const { name, host } = this
    const { world } = this.#workload
    if (world.process(name) === undefined) world.spawn({ name, host, main: (process) => this.#main(process) })
  }

  /** Where coordinators reach it. */
  get address(): string {
    return `participant:${this.name}`
  }

  /** Branches whose outcome it does not know. */
  get inDoubtCount(): number {
    return this.#inDoubt.size
  }

  /** A client asks for the vote before it asks for the decision (an unsolicited vote). Undefined: nobody answers. */
  solicit(txid: Txid, branch: BranchId): GivenVote | undefined {
    const run = this.#run
    return run?.process.alive === true ? this.#vote(run.process.random, txid, branch) : undefined
  }

  #main(process: SimProcess): void {
    const { fleet } = this.#workload
    const lines = new RawLines(process, {
      addresses: fleet.addresses,
      clusterId: fleet.clusterId,
      name: this.name,
      onMessage: (message) => {
        if (message.kind !== 'outcome') return
        const { kind } = message.outcome
        this.#workload.world.note(this.name, () => `asked about ${message.txid} and hears ${kind}`)
        if (kind === 'committed' || kind === 'aborted') this.#learn(message.txid, kind)
        // It is still prepared here, and only an aborted transaction is forgotten before its branches acknowledge.
        else if (kind === 'forgotten') this.#learn(message.txid, 'aborted')
      },
    })
    this.#run = { process, lines }
    process.channels.listen(this.address, (channel) => {
      channel.onMessage = (value) => void this.#receive(process, lines, value as ParticipantMessage)
    })
    process.clock.every(LOOK_MS, () => this.#inquire(process, lines))
  }

  async #receive(process: SimProcess, lines: RawLines, message: ParticipantMessage): Promise<void> {
    const { random, clock } = process
    const { txid, branch } = message
    if (message.kind === 'decision') {
      this.#workload.world.note(this.name, () => `is told to ${message.decision} branch ${branch} of ${txid}`)
      this.#end(txid, branch, message.decision === 'commit' ? 'committed' : 'aborted')
      if (random.chance(0.1)) await sleep(clock, random.below(300))
      this.#tell(random, lines, { kind: 'ack', txid, branches: [branch] })
      return
    }
    if (random.chance(0.02)) return
    const vote = this.#vote(random, txid, branch)
    if (random.chance(0.1)) await sleep(clock, random.below(1_000))
    const said = { kind: 'vote', txid, branch, vote, evidence: undefined } as const
    this.#tell(random, lines, said)
    if (random.chance(0.05)) this.#tell(random, lines, said)
  }

  /** To the leader as far as it is known; now and then to everybody, and those that don't lead leave it alone. */
  #tell(random: Prng, lines: RawLines, message: ClientMessage): void {
    if (random.chance(0.1) || !lines.send('leader', message)) lines.broadcast(message)
  }

  /** Its vote, for ever: written down before it is said. */
  #vote(random: Prng, txid: Txid, branch: BranchId): GivenVote {
    const { oracle } = this.#workload
    const key = keyOf(txid, branch)
    const held = this.#held.get(key)
    if (held !== undefined)
      return held.state === 'readOnly' ? 'readOnly' : held.state === 'aborted' ? 'abort' : 'commit'
    const vote: GivenVote = random.chance(0.06) ? 'abort' : random.chance(0.08) ? 'readOnly' : 'commit'
    const state = vote === 'commit' ? 'prepared' : vote === 'abort' ? 'aborted' : 'readOnly'
    const made: Held = { txid, branch, state, askMs: this.#workload.world.nowMs + INQUIRE_AFTER_MS }
    this.#held.set(key, made)
    if (state === 'prepared') this.#inDoubt.add(made)
    const where = placeOf(this.name, branch)
    this.#workload.world.note(this.name, () => `votes ${vote} for branch ${branch} of ${txid}`)
    oracle.votes.voted(txid, where, vote)
    if (vote === 'commit') oracle.branches.prepared(txid, where)
    return vote
  }

  /** GLOBAL-COMMIT or GLOBAL-ABORT, again and again. */
  #end(txid: Txid, branch: BranchId, how: 'committed' | 'aborted'): void {
    const { oracle, world } = this.#workload
    const key = keyOf(txid, branch)
    const held = this.#held.get(key)
    if (held?.state === 'readOnly' || held?.state === how) return
    if (held?.state === 'prepared') {
      held.state = how
      this.#inDoubt.delete(held)
      oracle.branches.ended(txid, placeOf(this.name, branch), how)
    } else if (held === undefined && how === 'aborted') {
      world.mark('participant: an abort comes before its PREPARE')
      this.#held.set(key, { txid, branch, state: 'aborted', askMs: 0 })
    } else {
      const state = held?.state ?? 'unknown to it'
      world.fail('P1', `${placeOf(this.name, branch)} of ${txid} is told ${how}, and it is ${state}`)
    }
  }

  #learn(txid: Txid, how: 'committed' | 'aborted'): void {
    for (const held of this.#inDoubt) if (held.txid === txid) this.#end(txid, held.branch, how)
  }

  #inquire(process: SimProcess, lines: RawLines): void {
    const { world, fleet } = this.#workload
    for (const held of this.#inDoubt) {
      const { txid } = held
      if (world.nowMs < held.askMs) continue
      held.askMs = world.nowMs + process.random.between(1_000, 3_000)
      world.mark('participant: asks, being in doubt')
      const to = process.random.chance(0.7) ? 'leader' : process.random.below(lines.count)
      lines.send(to, { kind: 'inquire', requestId: 1, clusterId: fleet.clusterId, txid, settle: true })
    }
  }
}

function keyOf(txid: Txid, branch: BranchId): string {
  return `${txid}/${branch}`
}
