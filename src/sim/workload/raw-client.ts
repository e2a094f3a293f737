import { type BranchId, makeTxid, sleep, type Txid } from '../../base/index.ts'
import type { ServerMessage } from '../../transport/index.ts'
import type { BranchRecord } from '../../txn/index.ts'
import type { SimProcess, Victim } from '../kernel/types.ts'
import { placeOf } from './bank-database.ts'
import { RawLines } from './raw-lines.ts'
import type { RawWorkload } from './raw-workload.ts'
import type { ScriptedParticipant } from './scripted-participant.ts'

/** A transaction that a client wants decided. Outlives the client's process. */
interface Wanted {
  readonly txid: Txid
  /** Its branches, and those of a second request under the same txid that contradicts it. */
  readonly branches: readonly BranchRecord[]
  readonly conflicting: readonly BranchRecord[]
  readonly timeoutMs: number
  /** It heard the outcome. */
  isSettled: boolean
}

/** A request that is under way. */
interface Asked {
  readonly txid: Txid
  /** The branches that a commit request named. */
  readonly committing: readonly string[] | undefined
  readonly askedMs: number
}

/** One run of a client's process. */
interface Run {
  readonly process: SimProcess
  readonly lines: RawLines
  readonly asked: Map<number, Asked>
  lastRequestId: number
}

/**
 * A client that speaks the protocol by hand, and carelessly: the same txid at several coordinators, commit and abort at
 * once, contradicting branches, late repeats, questions in between. Everything that it does is allowed, so whatever it
 * hears must fit together.
 */
export class RawClient implements Victim {
  readonly kind = 'application'
  readonly name: string
  readonly host: string
  readonly #workload: RawWorkload
  readonly #wanted = new Map<Txid, Wanted>()
  #unsettled = 0
  readonly #quota: number

  constructor(workload: RawWorkload, number: number, quota: number) {
    this.#workload = workload
    this.#quota = quota
    this.name = `raw-${number}`
    this.host = `127.0.3.${number}`
  }

  restart(): void {
    const { name, host } = this
    const { world } = this.#workload
    if (world.process(name) === undefined) world.spawn({ name, host, main: (process) => this.#main(process) })
  }

  get unsettledCount(): number {
    return this.#unsettled
  }

  async #main(process: SimProcess): Promise<void> {
    const { fleet } = this.#workload
    const lines = new RawLines(process, {
      addresses: fleet.addresses,
      clusterId: fleet.clusterId,
      name: this.name,
      onMessage: (message) => this.#hear(run, message),
    })
    const run: Run = { process, lines, asked: new Map(), lastRequestId: 0 }
    for (const wanted of this.#wanted.values()) if (!wanted.isSettled) void this.#insist(run, wanted)
    const { pauseMs } = this.#workload
    while (this.#workload.isLoading && this.#wanted.size < this.#quota) {
      await sleep(process.clock, process.random.below(2 * pauseMs + 1))
      if (!process.alive || !this.#workload.isLoading) return
      void this.#play(run, this.#want(process))
    }
  }

  #want({ random, clock, randomFill }: SimProcess): Wanted {
    const bytes = new Uint8Array(10)
    randomFill(bytes)
    const txid = makeTxid(clock.wallMs(), bytes)
    const participants = Array.from({ length: random.between(1, 3) }, () => random.pick(this.#workload.participants))
    const branches = participants.map((participant, index) =>
      this.#record(txid, participant, index as BranchId, random.chance(0.5)),
    )
    const other = this.#record(txid, random.pick(this.#workload.participants), 7 as BranchId, false)
    const wanted: Wanted = {
      txid,
      branches,
      conflicting: [...branches.slice(1), other],
      timeoutMs: random.pick(this.#workload.isCalm ? [50, 200, 500] : [50, 500, 3_000]),
      isSettled: false,
    }
    this.#wanted.set(txid, wanted)
    this.#unsettled += 1
    return wanted
  }

  /** @param isAsked whether the client gathers the vote itself */
  #record(txid: Txid, participant: ScriptedParticipant, branch: BranchId, isAsked: boolean): BranchRecord {
    const given = isAsked ? participant.solicit(txid, branch) : undefined
    const vote = given === 'abort' ? undefined : given
    return { branch, kind: 'service', participant: participant.name, vote, evidence: undefined }
  }

  /** The story of one transaction: a commit request, and whatever else may come before, between and behind. */
  async #play(run: Run, wanted: Wanted): Promise<void> {
    const { random } = run.process
    const maybe = (chance: number, withinMs: number, move: () => void): void => {
      if (!random.chance(chance)) return
      run.process.clock.after(random.below(withinMs), () => {
        if (run.process.alive) move()
      })
    }
    this.#commit(run, wanted, wanted.branches, 'leader')
    maybe(0.15, 500, () => this.#commit(run, wanted, wanted.branches, this.#anyone(run)))
    maybe(0.05, 5_000, () => this.#commit(run, wanted, wanted.branches, 'leader'))
    // So late that the outcome may be forgotten.
    maybe(0.15, 18_000, () => this.#commit(run, wanted, wanted.branches, 'leader'))
    maybe(0.1, 300, () => this.#abort(run, wanted))
    maybe(0.08, 300, () => this.#commit(run, wanted, wanted.conflicting, this.#anyone(run)))
    maybe(0.3, 1_000, () => this.#inquire(run, wanted, false))
    maybe(0.1, 2_000, () => this.#inquire(run, wanted, false))
    maybe(0.05, 300, () => this.#inquire(run, wanted, true))
    maybe(0.03, 1_000, () => this.#stray(run, wanted))
    await sleep(run.process.clock, wanted.timeoutMs)
    await this.#insist(run, wanted)
  }

  /** Asks until it knows. */
  async #insist(run: Run, wanted: Wanted): Promise<void> {
    const { process } = run
    while (process.alive && !wanted.isSettled) {
      if (this.#workload.isLoading && process.random.chance(0.5)) this.#commit(run, wanted, wanted.branches, 'leader')
      else this.#inquire(run, wanted, true)
      await sleep(process.clock, process.random.between(200, 800))
    }
  }

  #commit(run: Run, { txid, timeoutMs }: Wanted, branches: readonly BranchRecord[], to: number | 'leader'): void {
    const { fleet, oracle } = this.#workload
    const names = branches.map(({ participant, branch }) => placeOf(participant, branch))
    const requestId = this.#ask(run, txid, names)
    const { clusterId } = fleet
    if (!run.lines.send(to, { kind: 'commit', requestId, clusterId, txid, timeoutMs, branches })) {
      run.asked.delete(requestId)
      return
    }
    this.#workload.world.note(this.name, () => `asks ${to} to commit ${txid} with ${names.join(', ')}`)
    oracle.answers.wantsCommit(txid)
    oracle.branches.askedToCommit(txid)
    oracle.votes.requested(txid, names)
    if (branches !== this.#wanted.get(txid)?.branches) oracle.branches.contradict(txid)
  }

  #abort(run: Run, { txid, branches }: Wanted): void {
    const { clusterId } = this.#workload.fleet
    this.#workload.world.note(this.name, () => `asks to abort ${txid}`)
    const requestId = this.#ask(run, txid, undefined)
    run.lines.send(this.#anyone(run), { kind: 'abort', requestId, clusterId, txid, participant: undefined, branches })
  }

  #inquire(run: Run, { txid }: Wanted, settle: boolean): void {
    const { clusterId } = this.#workload.fleet
    const requestId = this.#ask(run, txid, undefined)
    run.lines.send(this.#anyone(run), { kind: 'inquire', requestId, clusterId, txid, settle })
  }

  /** Messages that mean nothing: an ACK and a vote from somebody who has no branch. */
  #stray({ lines }: Run, { txid }: Wanted): void {
    lines.broadcast({ kind: 'ack', txid, branches: [40 as BranchId] })
    lines.broadcast({ kind: 'vote', txid, branch: 41 as BranchId, vote: 'abort', evidence: undefined })
  }

  #ask(run: Run, txid: Txid, committing: readonly string[] | undefined): number {
    run.lastRequestId += 1
    run.asked.set(run.lastRequestId, { txid, committing, askedMs: this.#workload.world.nowMs })
    return run.lastRequestId
  }

  #anyone({ process, lines }: Run): number | 'leader' {
    return process.random.chance(0.6) ? 'leader' : process.random.below(lines.count)
  }

  #hear(run: Run, message: ServerMessage): void {
    if (message.kind !== 'outcome' && message.kind !== 'refused') return
    const asked = run.asked.get(message.requestId)
    if (asked === undefined) return
    run.asked.delete(message.requestId)
    const { oracle } = this.#workload
    const { txid, committing, askedMs } = asked
    const { world } = this.#workload
    if (message.kind === 'refused') {
      world.note(this.name, () => `is refused ${txid}: ${message.code}`)
      this.#workload.count(message.code)
      if (committing !== undefined && message.code !== 'OUTCOME_PENDING') oracle.votes.refused(txid)
      return
    }
    const { kind } = message.outcome
    world.note(this.name, () => `hears ${kind} of ${txid}`)
    oracle.answers.heard(txid, { by: this.name, heard: kind, askedMs })
    if (kind === 'committed') oracle.votes.committed(txid, committing)
    if (kind === 'committed' || kind === 'aborted' || kind === 'forgotten') this.#settle(txid, kind)
  }

  #settle(txid: Txid, how: string): void {
    const wanted = this.#wanted.get(txid)
    if (wanted === undefined || wanted.isSettled) return
    wanted.isSettled = true
    this.#unsettled -= 1
    this.#workload.count(how)
  }
}
